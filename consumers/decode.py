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

    Only by 2, 4 or 8: libjpeg-turbo also scales to other eighths, but without SIMD, so that 5/8 of a picture takes
    1.6 times as long as the whole, and leaves little for the letterbox to interpolate from: of the boxes above .3 in
    the frames themselves .88 were found again at IoU > .9, against .92 (640x480 to 416x312, quality 90).

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
        least = _scaled((width, height), wanted)
        picture: npt.NDArray[np.uint8] = simplejpeg.decode_jpeg(
            jpeg, colour, fastdct=True, fastupsample=False, min_width=least[0], min_height=least[1]
        )
        return picture
    except ValueError as error:
        raise DeadFrameError(f"not a readable JPEG: {error}") from None


def _scaled(size: tuple[int, int], wanted: tuple[int, int]) -> tuple[int, int]:
    """The smallest of `size` over 8, 4, 2 or 1 that is not below `wanted`."""
    for divisor in (8, 4, 2):
        scaled = -(-size[0] // divisor), -(-size[1] // divisor)
        if scaled[0] >= wanted[0] and scaled[1] >= wanted[1]:
            return scaled
    return size
