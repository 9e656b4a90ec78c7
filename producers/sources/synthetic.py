"""A drawn street as a source: `synthetic:`, or with options `synthetic:?frames=200&seed=7&fps=25`."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any
from urllib.parse import parse_qsl

import av
import cv2
from av.video.reformatter import ColorRange

from producers.colour import BT601
from producers.picture import Picture
from producers.street import Street
from streamer.errors import SourceUnusableError
from streamer.moments import unix_ms
from streamer.records.stream import StreamDefinition
from streamer.settings import ProduceSettings

SCHEME = "synthetic:"


@dataclass(frozen=True, slots=True)
class StreetOptions:
    """What the address says.

    size: of the picture, width and height in pixels, even numbers. fps: pictures per second.
    seed: of everything; the same seed gives the same pictures. frames: how many there are, None: no end.
    objects: about how many people and vehicles are in the picture at a time.
    """

    size: tuple[int, int] = (1280, 720)
    fps: float = 25.0
    seed: int = 0
    frames: int | None = None
    objects: int = 12

    def street(self) -> Street:
        """The street; `ground_truth` and `coco` of it go with the source's pictures, number by number."""
        return Street(self.size, self.fps, self.seed, self.objects)


def parse_address(address: str) -> StreetOptions:
    """The options in an address.

    >>> parse_address("synthetic:?frames=200&size=640x360").size
    (640, 360)

    Raises:
        SourceUnusableError: an option that does not exist, or a value that it can't have.
    """
    rest = address.removeprefix(SCHEME).removeprefix("//")
    path, _, query = rest.partition("?")
    if path:
        raise SourceUnusableError(f"{address}: options go behind a question mark: synthetic:?frames=200&seed=7")
    values: dict[str, Any] = {}
    for name, text in parse_qsl(query, keep_blank_values=True):
        if name not in _OPTIONS:
            raise SourceUnusableError(f"{address}: no option is called {name}; there are: {', '.join(_OPTIONS)}")
        read, allowed = _OPTIONS[name]
        value = read(text)
        if value is None:
            raise SourceUnusableError(f"{address}: {name} = {text!r}: use {allowed}")
        values[name] = value
    return StreetOptions(**values)


class SyntheticSource:
    """A `Source` that draws. Without an end it is live: like a camera, it shows what is there now, and what nobody
    takes in time is gone. With `frames` it is like a file: every picture, at any pace, from any number on.
    """

    def __init__(self, definition: StreamDefinition, address: str, settings: ProduceSettings) -> None:
        self._options = parse_address(address)
        self._closed = threading.Event()
        self._street: Street | None = None
        self.live = self._options.frames is None
        self.faults = 0

    def open(self) -> None:
        """See `Source`."""
        self._street = self._options.street()
        self._street.draw(0)  # what stands still takes longer than a picture may

    def describe(self) -> str:
        """See `Source`."""
        options = self._options
        length = "without an end" if options.frames is None else f"{options.frames} pictures"
        return f"drawn street, {options.size[0]}x{options.size[1]}, {options.fps:g} frames/s, {length}"

    def close(self) -> None:
        """See `Source`."""
        self._closed.set()

    def pictures(self, start_index: int = 0) -> Iterator[Picture]:
        """See `Source`."""
        street = self._street
        if street is None:
            raise ValueError("open() comes before pictures()")
        for index in self._numbers(start_index):
            frame = street_frame(street, index)
            seconds = index / self._options.fps
            yield Picture(frame, index, index, seconds, seconds, 0, unix_ms())

    def _numbers(self, start_index: int) -> Iterator[int]:
        if self._options.frames is None:
            return self._numbers_by_the_clock()
        return (index for index in range(start_index, self._options.frames) if not self._closed.is_set())

    def _numbers_by_the_clock(self) -> Iterator[int]:
        start, index = time.monotonic(), 0
        while True:
            if self._closed.wait(max(0.0, start + index / self._options.fps - time.monotonic())):
                return
            yield index
            # Whoever was too slow for the next ones goes on with the one that is due.
            index = max(index + 1, int((time.monotonic() - start) * self._options.fps))


def street_frame(street: Street, index: int) -> av.VideoFrame:
    """Picture number `index` of a street, as a decoder would give it."""
    # OpenCV's conversion takes a fifth of swscale's time; it is BT.601, limited range, so the frame says that.
    planes = cv2.cvtColor(street.draw(index), cv2.COLOR_BGR2YUV_I420)
    frame = av.VideoFrame.from_numpy_buffer(planes, "yuv420p")
    frame.colorspace, frame.color_range = BT601, ColorRange.MPEG
    frame.pts, frame.time_base = index, 1 / Fraction(street.fps).limit_denominator(1001)
    return frame


def _size(text: str) -> tuple[int, int] | None:
    width, _, height = text.partition("x")
    numbers = _whole(width, 64, 4096), _whole(height, 64, 4096)
    if numbers[0] is None or numbers[1] is None or numbers[0] % 2 or numbers[1] % 2:
        return None
    return numbers[0], numbers[1]


def _whole(text: str, least: int, most: int) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and least <= int(text) <= most else None


def _rate(text: str) -> float | None:
    try:
        rate = float(text)
    except ValueError:
        return None
    return rate if 0.1 <= rate <= 1000 else None


_OPTIONS: dict[str, tuple[Callable[[str], object], str]] = {
    "size": (_size, "WIDTHxHEIGHT, even numbers from 64 to 4096"),
    "fps": (_rate, "a number from 0.1 to 1000"),
    "seed": (lambda text: _whole(text, 0, 2**31), "a whole number"),
    "frames": (lambda text: _whole(text, 1, 10**9), "a whole number from 1 on"),
    "objects": (lambda text: _whole(text, 0, 200), "a whole number up to 200"),
}
