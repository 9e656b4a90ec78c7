"""`streamer train` before anything is trained: its arguments, and packing, which needs no PyTorch."""

from pathlib import Path

import pytest

from engines.training.dataset import read_dataset
from streamer.__main__ import main
from tests.training.drawn import draw


def test_packed_data_sets_are_read_as_they_were(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = draw(tmp_path / "shapes")
    assert main(["train", str(folder), "--pack", str(tmp_path / "carried")]) == 0
    packed = tmp_path / "carried" / "shapes"
    assert capsys.readouterr().out.splitlines()[0].startswith(f"{packed}: train, ")
    for split in ("train", "val"):
        plain, again = read_dataset(folder, split), read_dataset(packed, split)
        assert again.names == plain.names
        assert [p.boxes.tolist() for p in again.pictures] == [p.boxes.tolist() for p in plain.pictures]
        assert [(p.file.pixels() == q.file.pixels()).all() for p, q in zip(again.pictures, plain.pictures, strict=True)]
    assert main(["train", str(folder), "--pack", str(tmp_path / "carried")]) == 2
    assert "is packed there already" in capsys.readouterr().err


def test_of_a_file_the_one_beside_it_is_packed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = draw(tmp_path / "shapes", train=4, val=3)
    assert main(["train", str(folder / "train.json"), "--pack", str(tmp_path / "carried")]) == 0
    packed = tmp_path / "carried" / "train.json"
    assert [len(read_dataset(packed, split).pictures) for split in ("train", "val")] == [4, 3]
    (folder / "val.json").unlink()
    assert main(["train", str(folder / "train.json"), "--pack", str(tmp_path / "again")]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines()[2:] == [f"{tmp_path / 'again' / 'train.json'}: train, 4 pictures in 1 pieces"]
    assert "no other file beside it is called 'val': packed without it" in said.err


def test_what_is_left_out_is_not_packed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", str(draw(tmp_path / "shapes", train=5, val=4)), "--pack", str(tmp_path / "carried")]
    assert main([*words, "--leave-out", "c"]) == 2
    assert "--leave-out c: no picture is from that source; there are: a, b" in capsys.readouterr().err
    assert main([*words, "--leave-out", "a"]) == 0
    sources = {
        split: [picture.source for picture in read_dataset(tmp_path / "carried" / "shapes", split).pictures]
        for split in ("train", "val")
    }
    assert sources == {"train": ["b", "b"], "val": ["a", "b", "a", "b"]}


def test_a_data_set_that_is_left_out_whole_is_not_packed(tmp_path: Path) -> None:
    both = [str(draw(tmp_path / name, train=1 + count, val=0)) for count, name in enumerate(("one", "two"))]
    assert main(["train", *both, "--pack", str(tmp_path / "carried"), "--leave-out", "a"]) == 0
    assert [folder.name for folder in (tmp_path / "carried").iterdir()] == ["two"]
    assert len(read_dataset(tmp_path / "carried" / "two", "train").pictures) == 1


def test_what_is_wrong_with_packed_data_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = draw(tmp_path / "shapes")
    (folder / "val.json").unlink()
    (folder / "images" / "val").rename(tmp_path / "elsewhere")
    (folder / "images" / "train" / "0.png").unlink()
    assert main(["train", str(folder), "--pack", str(tmp_path / "carried")]) == 0
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 1
    without, problem = said.err.splitlines()
    assert without.endswith(": packed without it")
    assert "no data set with a split 'val'" in without
    assert problem.endswith("0.png is missing: left out")


def test_a_data_set_that_can_not_be_read_leaves_nothing_packed(tmp_path: Path) -> None:
    words = [str(draw(tmp_path / "shapes")), str(tmp_path / "nowhere")]
    assert main(["train", *words, "--pack", str(tmp_path / "carried")]) == 2
    assert not (tmp_path / "carried").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--turn", "a"], "SOURCE=SHARE"),
        (["--turn", "a=2"], "SOURCE=SHARE"),
        (["--repeat", "a=0"], "SOURCE=NUMBER"),
        (["--paste", "a"], "FROM:TO"),
        (["--labelled", "a"], "SOURCE=CLASS"),
        (["--sizes", "100"], "multiples of 32"),
        (["--sizes", "4128"], "up to 4096"),
        (["--seed", "-1"], "not a whole number from 0"),
        (["--seed", "99999999999999999999999"], "not a whole number from 0"),
        (["--rate", "1e99"], "not a learning rate"),
        (["--epochs", "0"], "from 1 on"),
        (["--max-minutes", "-1"], "above 0"),
    ],
    ids=" ".join,
)
def test_mistakes_are_one_line(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        status = main(["train", "nothing", *words])
    except SystemExit as refused:
        status = refused.code
    assert status == 2
    assert message in capsys.readouterr().err
