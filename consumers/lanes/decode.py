"""JPEG to picture, no larger than the network needs; and what is found out before that."""

from typing import TYPE_CHECKING

from engines.jpeg import decode_scaled, jpeg_size
from streamer.errors import StreamerError
from streamer.records import FrameHeader

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class DeadFrameError(StreamerError):
    """A frame that no attempt will ever decode."""


def check(jpeg: bytes, header: FrameHeader, max_pixels: int) -> None:
    """Looks at a JPEG's own size, before anything takes memory for it.

    Raises:
        DeadFrameError: not a JPEG, larger than `max_pixels`, or not of the size that its header says.
    """
    try:
        # A few kB can claim to be 60,000 x 60,000 pixels.
        width, height = jpeg_size(jpeg)
    except ValueError as error:
        raise unreadable(str(error)) from None
    if width * height > max_pixels:
        raise DeadFrameError(f"a JPEG of {width}x{height} pixels; the limit is {max_pixels}")
    if (width, height) != (header.width, header.height):
        raise DeadFrameError(f"a JPEG of {width}x{height} where the header says {header.width}x{header.height}")


def decode(jpeg: bytes, header: FrameHeader, wanted: tuple[int, int], colour: str) -> "npt.NDArray[np.uint8]":
    """The picture of a frame that was checked; see engines.jpeg.decode_scaled.

    Raises:
        DeadFrameError: it is damaged.
    """
    try:
        return decode_scaled(jpeg, (header.width, header.height), wanted, colour)
    except ValueError as error:
        raise unreadable(str(error)) from None


def unreadable(reason: str) -> DeadFrameError:
    """The error of a frame that a decoder refuses."""
    return DeadFrameError(f"not a readable JPEG: {reason}")
