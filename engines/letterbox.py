"""Where a picture lies in a network's input, and how it gets there."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.detections import Floats

Padding = Literal["centre", "top-left", "stretch"]
"""Where the free border goes: around the picture, right and below of it, or nowhere because it is stretched."""

PAD_VALUE = 114  # grey, of 255: what YOLO-style detectors are trained with


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a picture lies in the network's input.

    scale_x, scale_y: network pixels per picture pixel.
    left, top: of the picture, in network pixels.
    width, height: of the whole picture, in its own pixels.
    """

    scale_x: float
    scale_y: float
    left: int
    top: int
    width: int
    height: int

    def to_picture(self, boxes: Floats) -> Floats:
        """Boxes (N, 4) from network pixels to picture pixels, clipped to the picture."""
        offset, scale, limits = _corners(self)
        moved: Floats = boxes - offset
        moved /= scale
        np.maximum(moved, 0, out=moved)
        np.minimum(moved, limits, out=moved)
        return moved


@lru_cache(maxsize=256)
def _corners(placement: Placement) -> Floats:
    """Offset, scale and limits, (3, 4), for both corners; the same in all frames of a stream."""
    return np.array(
        [
            [placement.left, placement.top] * 2,
            [placement.scale_x, placement.scale_y] * 2,
            [placement.width, placement.height] * 2,
        ],
        np.float32,
    )


@dataclass(frozen=True, slots=True)
class Letterbox:
    """Fits pictures of any size into a network's input of one size.

    width, height: of the network's input, in pixels.
    factor: what a channel value (0 to 255) is multiplied by.
    """

    width: int
    height: int
    padding: Padding
    factor: float

    @property
    def pad(self) -> float:
        """Value of the border in the network's input."""
        return PAD_VALUE * self.factor

    def wanted_size(self, width: int, height: int) -> tuple[int, int]:
        """The smallest size (width, height) at which a picture of width x height loses nothing in here.

        What the producers' transport `network` sends, in the picture's aspect and never enlarged: fitted in, or
        covering the input where it is stretched, which would enlarge a fitted picture again in one direction.
        """
        across, down = self.width / width, self.height / height
        scale = min(1, max(across, down) if self.padding == "stretch" else min(across, down))
        return max(1, round(width * scale)), max(1, round(height * scale))

    def place(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Left, top, width and height, in network pixels, of a picture of width x height."""
        if self.padding == "stretch":
            return 0, 0, self.width, self.height
        scale = min(self.width / width, self.height / height)
        inner = max(1, round(width * scale)), max(1, round(height * scale))
        if self.padding == "top-left":
            return 0, 0, *inner
        return (self.width - inner[0]) // 2, (self.height - inner[1]) // 2, *inner

    def prepare(
        self,
        picture: NDArray[np.uint8],
        size: tuple[int, int],
        into: NDArray[Any],
        previous: Placement | None = None,
    ) -> Placement:
        """Scales, pads and normalises a picture into its slot of a batch. Safe to call from several threads.

        picture: uint8 (height, width, 3), maybe decoded at a smaller scale than `size`.
        size: (width, height) of the whole picture; the placement is for its pixels.
        into: (3, self.height, self.width), wholly overwritten.
        previous: what the slot was prepared as last, if nobody else wrote into it: a border that stays is then
            left alone, which saves a quarter of the time.
        """
        placement, inner = self._padded(size, into, self.pad, previous)
        # Less than one assignment from the transposed picture, which reads every third byte, and less than one
        # multiplication from bytes to floats: so each channel is still in the cache when it is multiplied.
        for channel, plane in zip(inner, _split(_resized(picture, inner.shape[2], inner.shape[1])), strict=True):
            channel[:] = plane
            if self.factor != 1:
                np.multiply(channel, channel.dtype.type(self.factor), out=channel)
        return placement

    def prepare_bytes(
        self,
        picture: NDArray[np.uint8],
        size: tuple[int, int],
        into: NDArray[np.uint8],
        previous: Placement | None = None,
    ) -> Placement:
        """As `prepare`, into uint8 (self.height, self.width, 3) that lie so in memory; values stay as they are."""
        placement, inner = self._padded(size, into.transpose(2, 0, 1), PAD_VALUE, previous)
        _resize(picture, inner.transpose(1, 2, 0))
        return placement

    def _padded(
        self, size: tuple[int, int], planes: NDArray[Any], pad: float, previous: Placement | None
    ) -> tuple[Placement, NDArray[Any]]:
        """Where the picture comes in (3, height, width), whose border is written unless it is as before."""
        left, top, width, height = self.place(*size)
        placement = Placement(width / size[0], height / size[1], left, top, *size)
        if placement != previous:
            planes[:, :top] = planes[:, top + height :] = pad
            planes[:, top : top + height, :left] = planes[:, top : top + height, left + width :] = pad
        return placement, planes[:, top : top + height, left : left + width]


class _Scratch(threading.local):
    """Arrays of the last picture's size: new ones for each picture would cost a fifth of the letterbox's time."""

    fitted: NDArray[np.uint8] = np.empty((0, 0, 3), np.uint8)
    planes: Sequence[NDArray[np.uint8]] = ()


_scratch = _Scratch()


def _split(picture: NDArray[np.uint8]) -> Sequence[NDArray[np.uint8]]:
    """The channels of `picture`, until the thread's next call."""
    if not _scratch.planes or _scratch.planes[0].shape != picture.shape[:2]:
        _scratch.planes = [np.empty(picture.shape[:2], np.uint8) for _ in range(3)]
    cv2.split(picture, _scratch.planes)
    return _scratch.planes


def _resized(picture: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """`picture` at width x height, until the thread's next call."""
    if picture.shape[:2] == (height, width):
        return picture
    if _scratch.fitted.shape[:2] != (height, width):
        _scratch.fitted = np.empty((height, width, 3), np.uint8)
    _resize(picture, _scratch.fitted)
    return _scratch.fitted


def _resize(picture: NDArray[np.uint8], into: NDArray[np.uint8]) -> None:
    """`picture` at the size of `into`.

    Linear from less than twice the size, area (seven times the time) from there on, where linear would skip
    pixels. Behind a JPEG's scaled decoding, which averages, linear finds as many of the boxes again as area.
    """
    height, width, _ = into.shape
    coarse = picture.shape[1] >= 2 * width or picture.shape[0] >= 2 * height
    cv2.resize(picture, (width, height), into, interpolation=cv2.INTER_AREA if coarse else cv2.INTER_LINEAR)
