"""Folders of pictures."""

import logging
from pathlib import Path

import cv2
import numpy as np
import pytest

from producers.sources.registry import open_source
from streamer.errors import SourceUnusableError
from streamer.settings import ProduceSettings
from tests.clips import definition


def write_pictures(folder: Path, names: dict[str, int]) -> None:
    for name, grey in names.items():
        cv2.imwrite(str(folder / name), np.full((16, 20, 3), grey, np.uint8))


def greys(folder: Path, start: int = 0, **values: object) -> tuple[list[tuple[int, int, float | None]], int]:
    source = open_source(definition(folder, **values), ProduceSettings())
    source.open()
    seen = [
        (p.index, round(float(p.frame.to_ndarray(format="gray").mean())), p.seconds) for p in source.pictures(start)
    ]
    return seen, source.faults


def test_in_natural_order_with_other_files_left_out(tmp_path: Path) -> None:
    write_pictures(tmp_path, {"f10.png": 100, "f2.png": 20, "F1.PNG": 10})
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "inner.jpg").mkdir()
    assert greys(tmp_path, options={"framerate": "10"}) == ([(0, 10, 0), (1, 20, 0.1), (2, 100, 0.2)], 0)
    assert greys(tmp_path, start=2)[0][0][:2] == (2, 100)


def test_unreadable_ones_are_counted_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_pictures(tmp_path, {"1.png": 10, "3.png": 30})
    (tmp_path / "2.jpg").write_bytes(b"not a jpeg")
    with caplog.at_level(logging.WARNING):
        seen, faults = greys(tmp_path)
    assert ([s[:2] for s in seen], faults) == ([(0, 10), (2, 30)], 1)
    assert "2.jpg can't be read as a picture" in caplog.text
    assert "2 pictures read, 1 could not be" in caplog.text


def test_a_folder_that_can_never_work(tmp_path: Path) -> None:
    with pytest.raises(SourceUnusableError, match="no pictures in this folder"):
        greys(tmp_path)
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(SourceUnusableError, match="not one of its 1 pictures can be read"):
        greys(tmp_path)
    with pytest.raises(SourceUnusableError, match="framerate = 'fast'"):
        greys(tmp_path, options={"framerate": "fast"})
