"""The motion gate: which frames show what the last one that was looked at showed, so that nobody need look again.

A frame is compared with the last one that went through the network, not with the one before it: what moves slowly adds
up until it is seen. While that one is in the network, those like it wait: should it fail, there is no result that could
stand for them. Both are compared as a grid of grey cells, each the mean of a square of pixels, so that a camera's
noise all but averages out; what the whole picture has become brighter or darker by is taken out first, by the median.
It is the difference detector of Kang et al., "NoScope: Optimizing Neural Network Queries over Video at Scale", VLDB
2017, against a reference that is renewed.
"""

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum, auto

import cv2
import numpy as np
from numpy.typing import NDArray

from consumers.entry import Entry, Partition
from engines.jpeg import decode_scaled
from streamer.records import FrameHeader, FrameId

_CELL = 8
"""Side of a cell, in pixels of the picture as the network takes it."""
_DIFFERENCE = 6
"""Grey levels, of 255, by which a cell must differ."""
_CELLS = 2
"""So many cells are something that has moved."""


class Verdict(Enum):
    """LOOK: it is to be looked at. STILL: it needn't be. WAITS: the same, if the frame that it is like has a result."""

    LOOK = auto()
    STILL = auto()
    WAITS = auto()


@dataclass(slots=True, eq=False)
class _Look:
    """waiting: for its result; None: it is there."""

    header: FrameHeader
    seconds: float
    grid: NDArray[np.int16]
    waiting: list[Entry] | None = field(default_factory=list)


@dataclass(slots=True, eq=False)
class _Stream:
    """seen: the newest look that has a result."""

    seen: _Look | None = None
    under_way: dict[FrameId, _Look] = field(default_factory=dict)


class MotionGate:
    """Of all streams that a worker reads; thread-safe.

    Knows nothing of a stream at first: whoever takes one over looks at its first frame, also if it was here before.
    """

    def __init__(self) -> None:
        self._streams: dict[Partition, dict[str, _Stream]] = {}
        self._lock = threading.Lock()

    def judge(self, entry: Entry, header: FrameHeader, wanted: tuple[int, int], most_s: float) -> Verdict:
        """Whether a frame needs to be looked at. If so, later ones are compared with it; `settle` must follow.

        entry: with a JPEG of `header`'s size, which was checked.
        wanted: (width, height) of the picture as the network takes it.
        most_s: after so many seconds of the source's time a frame is looked at in any case.

        Raises:
            ValueError: the JPEG is damaged.
        """
        grid = _grid(entry.jpeg, (header.width, header.height), wanted)
        seconds = header.captured_ms / 1000 if header.source_time is None else header.source_time
        with self._lock:
            if entry.abandoned:
                return Verdict.LOOK  # behind `forget`: what it shows is no reference for what comes back
            stream = self._streams.setdefault(entry.partition, {}).setdefault(header.stream, _Stream())
            if header.id in stream.under_way:
                return Verdict.LOOK  # it is tried again
            last = _last(stream, header)
            if (
                last is not None
                and _follows(header, last.header)
                and 0 <= seconds - last.seconds < most_s
                and not _moved(last.grid, grid)
            ):
                if last.waiting is None:
                    return Verdict.STILL
                if entry not in last.waiting:
                    last.waiting.append(entry)
                return Verdict.WAITS
            stream.under_way[header.id] = _Look(header, seconds, grid)
        return Verdict.LOOK

    def settle(self, entry: Entry, has_result: bool) -> list[Entry]:
        """A frame has its result, or will have none; returns those that waited for it."""
        header = entry.header
        assert isinstance(header, FrameHeader)
        with self._lock:
            stream = self._streams.get(entry.partition, {}).get(header.stream)
            # The same frame may be under way again, of a partition that came back: that look isn't this one's.
            look = stream.under_way.pop(header.id, None) if stream and not entry.abandoned else None
            if stream is None or look is None:
                return []
            waiting, look.waiting = look.waiting, None
            if has_result and (stream.seen is None or stream.seen.header.id < header.id):
                stream.seen = look
            return waiting or []

    def forget(self, partitions: Iterable[Partition]) -> None:
        """Partitions that were given up, once their entries are abandoned: others say now what stands."""
        with self._lock:
            for partition in partitions:
                self._streams.pop(partition, None)

    def forget_streams(self, streams: Iterable[tuple[Partition, str]]) -> None:
        """Streams that are over; not those that have begun anew meanwhile, whose frames may wait for one another."""
        with self._lock:
            for partition, stream in streams:
                known = self._streams.get(partition, {})
                if stream in known and not known[stream].under_way:
                    del known[stream]


def _last(stream: _Stream, header: FrameHeader) -> _Look | None:
    """The newest look before this frame: lanes may swap two frames, and the earlier one is looked at, too."""
    looks = [*stream.under_way.values()]
    if stream.seen is not None:
        looks.append(stream.seen)
    earlier = (look for look in looks if look.header.id < header.id)
    return max(earlier, key=lambda look: look.header.id, default=None)


def _follows(header: FrameHeader, last: FrameHeader) -> bool:
    same = (header.width, header.height, header.matrix) == (last.width, last.height, last.matrix)
    return same and header.id.epoch == last.id.epoch


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
