"""The motion gate: which frames show what the last one that was looked at showed, so that nobody need look again.

A frame is compared with the last one that went through the network, not with the one before it: what moves slowly adds
up until it is seen. Both are compared as a grid of grey cells, each the mean of a square of pixels, so that a camera's
noise all but averages out; what the whole picture has become brighter or darker by is taken out first, by the median.
It is the difference detector of Kang et al., "NoScope: Optimizing Neural Network Queries over Video at Scale", VLDB
2017, against a reference that is renewed.
"""

import threading
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.jpeg import decode_scaled
from streamer.records import FrameHeader

_CELL = 8
"""Side of a cell, in pixels of the picture as the network takes it."""
_DIFFERENCE = 6
"""Grey levels, of 255, by which a cell must differ."""
_CELLS = 2
"""So many cells are something that has moved."""


@dataclass(frozen=True, slots=True, eq=False)
class _Look:
    header: FrameHeader
    seconds: float
    grid: NDArray[np.int16]


class MotionGate:
    """Of all streams that a worker reads; thread-safe.

    Knows nothing of a stream at first: whoever takes one over looks at its first frame.
    """

    def __init__(self) -> None:
        self._looks: dict[str, _Look] = {}
        self._lock = threading.Lock()

    def is_still(self, header: FrameHeader, jpeg: bytes, wanted: tuple[int, int], most_s: float) -> bool:
        """Whether a frame needn't be looked at. If it does, it is what later ones are compared with.

        jpeg: of `header`'s size, which was checked.
        wanted: (width, height) of the picture as the network takes it.
        most_s: after so many seconds of the source's time a frame is looked at in any case.

        Raises:
            ValueError: the JPEG is damaged.
        """
        grid = _grid(jpeg, (header.width, header.height), wanted)
        seconds = header.captured_ms / 1000 if header.source_time is None else header.source_time
        with self._lock:
            last = self._looks.get(header.stream)
            if (
                last is not None
                and _follows(header, last.header)
                and 0 <= seconds - last.seconds < most_s
                and not _moved(last.grid, grid)
            ):
                return True
            self._looks[header.stream] = _Look(header, seconds, grid)
        return False


def _follows(header: FrameHeader, last: FrameHeader) -> bool:
    """Lanes may swap two frames: the earlier one is looked at, too."""
    same = (header.width, header.height, header.matrix) == (last.width, last.height, last.matrix)
    return same and header.id.epoch == last.id.epoch and header.id.sequence > last.id.sequence


def _grid(jpeg: bytes, size: tuple[int, int], wanted: tuple[int, int]) -> NDArray[np.int16]:
    """Means of cells, grey, 0 to 255: int16 (rows, columns)."""
    cells = max(1, round(wanted[0] / _CELL)), max(1, round(wanted[1] / _CELL))
    picture = decode_scaled(jpeg, size, cells, "GRAY")[:, :, 0]
    grid: NDArray[np.int16] = cv2.resize(picture, cells, interpolation=cv2.INTER_AREA).astype(np.int16)
    return grid


def _moved(before: NDArray[np.int16], now: NDArray[np.int16]) -> bool:
    difference = now - before
    brighter = np.median(difference)
    return int(np.count_nonzero(np.abs(difference - brighter) >= _DIFFERENCE)) >= _CELLS
