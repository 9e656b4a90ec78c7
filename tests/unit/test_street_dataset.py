"""`streamer street`: a data set whose boxes lie on what is drawn."""

import json
from pathlib import Path

import cv2
import pytest

from engines.training.dataset import read_dataset
from producers.street_dataset import Wanted, write_dataset
from streamer.__main__ import main
from streamer.errors import UsageError


def test_writes_pictures_and_boxes_that_training_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["street", str(tmp_path / "a"), "--pictures", "10", "--val", "2", "--side", "256"]) == 0
    assert "10 pictures for training, 2 for validation" in capsys.readouterr().out

    for split, count in (("train", 10), ("val", 2)):
        dataset = read_dataset(tmp_path / "a", split)
        assert len(dataset.pictures) == count
        assert dataset.names == ("person", "car", "motorcycle", "bus", "truck")
        for picture in dataset.pictures:
            assert max(picture.width, picture.height) == 256
            assert picture.source == "street"
        assert not [line for line in dataset.problems if "no picture has" not in line]
    names = [image["file_name"] for image in json.loads((tmp_path / "a/train.json").read_text())["images"]]
    assert len(set(names)) == 10


def test_the_same_seed_writes_the_same_files_and_splits_share_no_street(tmp_path: Path) -> None:
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_dataset(tmp_path / folder, Wanted(pictures=2, val=1, seed=seed))
    first, again, other = ((tmp_path / folder / "images/train/000001.jpg").read_bytes() for folder in "abc")

    assert first == again != other
    assert first != (tmp_path / "a/images/val/000001.jpg").read_bytes()
    with pytest.raises(UsageError, match="there is a data set already"):
        write_dataset(tmp_path / "a", Wanted(2, 1))


def test_boxes_are_where_things_are(tmp_path: Path) -> None:
    """Below its box, at the road, a picture is smoother than in it."""
    write_dataset(tmp_path, Wanted(pictures=8, val=0, quality=95))
    rough = plain = 0.0
    for picture in read_dataset(tmp_path, "train").pictures:
        grey = cv2.cvtColor(picture.file.pixels(), cv2.COLOR_RGB2GRAY)
        for left, top, right, bottom in picture.boxes[~picture.crowd].astype(int):
            below = grey[bottom + 4 : bottom + 4 + (bottom - top), left:right]
            if below.size > 100:
                rough += float(grey[top:bottom, left:right].std())
                plain += float(below.std())
    assert rough > 1.3 * plain > 0


@pytest.mark.parametrize("arguments", [["--side", "5000"], ["--quality", "10"], ["--pictures", "-1"]])
def test_wrong_options(tmp_path: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["street", str(tmp_path), *arguments])
    assert ended.value.code == 2
    assert arguments[0] in capsys.readouterr().err
