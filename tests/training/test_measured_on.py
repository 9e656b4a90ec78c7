"""What a training is measured on, and what it says of that."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from engines.training.batches import Batches
from engines.training.dataset import read_dataset
from engines.training.picture_file import PictureFile
from engines.training.validation import doubts
from streamer.__main__ import main
from tests.training.drawn import draw

QUICK = ("--sizes", "64", "--batch", "4", "--threads", "1", "--device", "cpu", "--epochs", "1")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return draw(tmp_path / "data", train=4, val=6)


def train(data: Path, output: Path) -> int:
    return main(["train", str(data), "--output", str(output), *QUICK])


def test_what_is_wrong_with_it_is_told(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = json.loads((data / "val.json").read_text(encoding="utf-8"))
    content["annotations"][0]["bbox"] = [900, 900, 10, 10]
    content["annotations"][2] |= {"category_id": 2}
    content["categories"][1:] = [{"id": 2, "name": "cat"}]
    (data / "val.json").write_text(json.dumps(content), encoding="utf-8")
    cut = data / "images" / "val" / "3.png"
    cut.write_bytes(cut.read_bytes()[:200])

    assert train(data, tmp_path / "out") == 0
    told = capsys.readouterr().err
    assert f"{data / 'val.json'}: annotation 0: a box outside its picture: left out" in told
    assert f"{data / 'val.json'}: annotation 1 has category 1, which isn't there: left out" in told
    assert "val/3.png is no picture: left out" in told
    assert "val: cat isn't learnt: it counts as never found" in told
    assert "val: has no class disc: it isn't measured" in told


def test_of_a_file_the_one_beside_it_is_measured_on(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(data / "train.json", tmp_path / "out") == 0
    assert "val" not in capsys.readouterr().err
    report = (tmp_path / "out" / "report" / "report.md").read_text(encoding="utf-8")
    assert "| disc | 3 |" in report


def test_what_is_learnt_from_is_not_measured_on_unawares(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (data / "val.json").unlink()
    assert train(data / "train.json", tmp_path / "out") == 0
    told = capsys.readouterr().err
    assert "train.json: has one split, and no other file beside it is called 'val': the training goes without" in told


def test_pictures_that_are_learnt_from_as_well_are_counted(data: Path) -> None:
    learnt = Batches([read_dataset(data, "train")], 64, 4)
    assert doubts(read_dataset(data, "val"), "val", learnt) == []
    both = replace(learnt.pictures[1], file=PictureFile(data / "images" / ".." / "images" / "train" / "1.png"))
    measured = read_dataset(data, "val")
    measured = replace(measured, pictures=(both, *measured.pictures))
    assert doubts(measured, "val", learnt) == ["val: 1 of its 7 pictures are learnt from, too: its figures flatter"]
