"""JPEG to picture, no larger than the network needs."""

from typing import TYPE_CHECKING

from streamer.errors import StreamerError
from streamer.records import FrameHeader

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class DeadFrameError(StreamerError):
    """A frame that no attempt will ever decode."""


def decode(
    jpeg: bytes, header: FrameHeader, wanted: tuple[int, int], colour: str, max_pixels: int
) -> "npt.NDArray[np.uint8]":
    """The picture, HxWx3 uint8 in `colour` order, at the smallest scale of the decoder not below `wanted`.

    The decoder's own scaling (multiples of 1/8, in the DCT) costs less than decoding whole and resizing.

    Raises:
        DeadFrameError: not a JPEG, damaged, larger than `max_pixels`, or not of the size that its header says.
    """
    import simplejpeg

    try:
        # The size first: a few kB can claim to be 60,000 x 60,000 pixels.
        height, width, *_ = simplejpeg.decode_jpeg_header(jpeg)
        if width * height > max_pixels:
            raise DeadFrameError(f"a JPEG of {width}x{height} pixels; the limit is {max_pixels}")
        if (width, height) != (header.width, header.height):
            raise DeadFrameError(f"a JPEG of {width}x{height} where the header says {header.width}x{header.height}")
        picture: npt.NDArray[np.uint8] = simplejpeg.decode_jpeg(
            jpeg, colour, fastdct=True, fastupsample=False, min_width=wanted[0], min_height=wanted[1]
        )
        return picture
    except ValueError as error:
        raise DeadFrameError(f"not a readable JPEG: {error}") from None
