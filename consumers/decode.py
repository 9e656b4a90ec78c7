"""JPEG to picture, no larger than the network needs."""

from typing import TYPE_CHECKING

from engines.jpeg import decode_scaled, jpeg_size
from streamer.errors import StreamerError
from streamer.records import FrameHeader

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class DeadFrameError(StreamerError):
    """A frame that no attempt will ever decode."""


def check(jpeg: bytes, header: FrameHeader, max_pixels: int) -> tuple[int, int]:
    """Width and height of a frame's JPEG, which is not decoded.

    Raises:
        DeadFrameError: not a JPEG, larger than `max_pixels`, or not of the size that its header says.
    """
    try:
        # The size first: a few kB can claim to be 60,000 x 60,000 pixels.
        width, height = jpeg_size(jpeg)
    except ValueError as error:
        raise DeadFrameError(f"not a readable JPEG: {error}") from None
    if width * height > max_pixels:
        raise DeadFrameError(f"a JPEG of {width}x{height} pixels; the limit is {max_pixels}")
    if (width, height) != (header.width, header.height):
        raise DeadFrameError(f"a JPEG of {width}x{height} where the header says {header.width}x{header.height}")
    return width, height


def decode(
    jpeg: bytes, header: FrameHeader, wanted: tuple[int, int], colour: str, max_pixels: int
) -> "npt.NDArray[np.uint8]":
    """The picture, HxWx3 uint8 in `colour` order, at the smallest scale of the decoder not below `wanted`.

    Raises:
        DeadFrameError: not a JPEG, damaged, larger than `max_pixels`, or not of the size that its header says.
    """
    size = check(jpeg, header, max_pixels)
    try:
        return decode_scaled(jpeg, size, wanted, colour)
    except ValueError as error:
        raise DeadFrameError(f"not a readable JPEG: {error}") from None
