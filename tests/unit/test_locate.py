"""From JPEG pixels to upright source pixels."""

from unittest.mock import Mock

import numpy as np
import pytest

from consumers.lanes.locate import source_boxes, too_small
from engines.detector import Detector
from engines.letterbox import Letterbox, Padding
from producers.transform import NetworkInput, plan
from streamer.records import FrameHeader, FrameId, Matrix
from streamer.records.stream import StreamDefinition


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


@pytest.mark.parametrize(
    ("padding", "transport", "made_for", "refused"),
    [
        ("centre", "network", "centre", False),
        ("centre", "352x352", "centre", False),
        ("centre", "320x320", "centre", True),
        ("centre", "network", "stretch", False),
        ("stretch", "network", "stretch", False),
        ("stretch", "network", "centre", True),  # by a producer that fits it in
        ("stretch", "352x352", "stretch", True),
        ("stretch", "626x352", "stretch", False),
        ("stretch", "full", "stretch", False),
    ],
)
@pytest.mark.parametrize("source", [(1920, 1080), (1080, 1920), (1277, 719)])
def test_pictures_are_too_small_if_the_network_enlarges_what_was_made_smaller(
    source: tuple[int, int], padding: Padding, transport: str, made_for: Padding, refused: bool
) -> None:
    if source[0] < source[1]:
        transport = "x".join(reversed(transport.split("x")))
    stream = StreamDefinition(id="a", source="x", transport=transport)
    made = plan(stream, source, 0, (2, 2), NetworkInput(352, 352, made_for == "stretch"))
    travelled = FrameHeader("a", FrameId(1, 0), 0, 0, *made.size, *source, made.matrix)
    detector = Mock(Detector, wanted_size=Letterbox(352, 352, padding, 1.0).wanted_size)
    assert too_small(travelled, detector) is refused
