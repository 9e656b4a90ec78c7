"""What a training is measured on, and what it says of that."""

import json
from pathlib import Path

import pytest

from streamer.__main__ import main
from tests.training.drawn import draw

QUICK = ("--sizes", "64", "--batch", "4", "--threads", "1", "--device", "cpu", "--epochs", "1")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return draw(tmp_path / "data", train=4, val=4)


def train(data: Path, *more: str) -> int:
    return main(["train", str(data), "--output", str(data.parent / "out"), *QUICK, *more])


def test_what_is_wrong_with_it_is_told(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = json.loads((data / "val.json").read_text(encoding="utf-8"))
    content["annotations"][0]["bbox"] = [900, 900, 10, 10]
    content["annotations"][2] |= {"category_id": 2}
    content["categories"][1:] = [{"id": 2, "name": "cat"}]
    (data / "val.json").write_text(json.dumps(content), encoding="utf-8")
    cut = data / "images" / "val" / "3.png"
    cut.write_bytes(cut.read_bytes()[:200])

    assert train(data) == 0
    told = capsys.readouterr().err
    assert f"{data / 'val.json'}: annotation 0: a box outside its picture: left out" in told
    assert f"{data / 'val.json'}: annotation 1 has category 1, which isn't there: left out" in told
    assert "val/3.png is no picture: left out" in told
    assert f"{data / 'val.json'}: no picture has a box" in told
    assert "val: cat isn't learnt: it counts as never found" in told
    assert "val: has no class disc: it isn't measured" in told
