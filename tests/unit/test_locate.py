"""From JPEG pixels to upright source pixels."""

import numpy as np
import pytest

from consumers.locate import source_boxes
from streamer.records import FrameHeader, FrameId, Matrix


def header(matrix: Matrix) -> FrameHeader:
    return FrameHeader("a", FrameId(1, 0), 0, 0, 100, 50, 400, 200, matrix)


@pytest.mark.parametrize(
    ("matrix", "box", "expected"),
    [
        ((4, 0, 0, 0, 4, 0), (10, 10, 20, 30), (40, 40, 80, 120)),
        ((4, 0, 0, 0, 4, 0), (-5, 10, 200, 90), (0, 40, 400, 200)),
        ((2, 0, 30, 0, 2, 20), (10, 10, 20, 30), (50, 40, 70, 80)),
        ((0, 4, 0, -2, 0, 200), (10, 5, 20, 15), (20, 160, 60, 180)),  # turned by 90 degrees
        ((-4, 0, 400, 0, 4, 0), (10, 10, 20, 30), (320, 40, 360, 120)),  # mirrored
    ],
)
def test_boxes_are_where_they_are_in_the_source(
    matrix: Matrix, box: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    found = source_boxes(np.array([box], np.float32), header(matrix))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [expected])


def test_no_boxes_are_no_boxes() -> None:
    assert source_boxes(np.empty((0, 4), np.float32), header((4, 0, 0, 0, 4, 0))).shape == (0, 4)
