"""A training whose data were changed since it was stopped."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from streamer.__main__ import main
from tests.training.drawn import draw

QUICK = ("--sizes", "64", "--batch", "4", "--threads", "1", "--device", "cpu", "--val", "none", "--epochs", "1")
STOPPED = ("--max-minutes", "1e-9")


def train(data: Path, output: Path, *more: str) -> int:
    return main(["train", str(data), "--output", str(output), *QUICK, *more])


def test_a_detector_goes_on_with_its_classes_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, output = draw(tmp_path / "data", train=4, val=1), tmp_path / "out"
    assert train(data, output, *STOPPED) == 0
    file = data / "train.json"
    before = json.loads(file.read_text(encoding="utf-8"))
    box, disc = before["categories"]

    for categories in ([box, disc, {"id": 2, "name": "cat"}], [box | {"id": 1}, disc | {"id": 0}]):
        file.write_text(json.dumps(before | {"categories": categories}), encoding="utf-8")
        assert train(data, output) == 2
        assert "holds a training of 2 classes (box, disc), the data have" in capsys.readouterr().err
    file.write_text(json.dumps(before | {"images": before["images"][:3]}), encoding="utf-8")
    assert train(data, output) == 0
    assert "the training began on 4 pictures, now there are 3" in capsys.readouterr().err


def test_a_classifier_goes_on_with_its_classes_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, output = tmp_path / "crops", tmp_path / "out"
    words = ("--task", "classify", "--val", "val")

    def add(kind: str, count: int) -> None:
        for split in ("train", "val"):
            (data / split / kind).mkdir(parents=True, exist_ok=True)
            for number in range(count):
                noise = np.random.default_rng(number).integers(0, 255, (32, 32, 3), np.uint8)
                assert cv2.imwrite(str(data / split / kind / f"{number}.png"), noise)

    add("box", 4)
    add("disc", 4)
    assert train(data, output, *words, *STOPPED) == 0
    add("disc", 5)
    assert train(data, output, *words, *STOPPED) == 0
    assert "the training began on 8 pictures, now there are 9" in capsys.readouterr().err
    add("cat", 4)
    assert train(data, output, *words) == 2
    assert (
        "holds a training of 2 classes (box, disc), the data have 3 classes (box, cat, disc)" in capsys.readouterr().err
    )
