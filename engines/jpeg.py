"""JPEG to picture, no larger than a network needs."""

from struct import Struct
from struct import error as StructError
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


_SEGMENT = Struct(">HH")
_SIZE = Struct(">HH")
_FRAMES = frozenset((0xFFC0, 0xFFC1, 0xFFC2))  # start of frame: baseline, extended, progressive
_OTHERS = frozenset((*range(0xFFE0, 0xFFF0), 0xFFDB, 0xFFC4, 0xFFDD, 0xFFFE))  # segments with a length, before it


def jpeg_size(jpeg: bytes) -> tuple[int, int]:
    """Width and height in pixels, without decoding.

    A worker asks this of every frame, and the library, which builds a decompressor for it, takes 0.08 ms between two
    inferences. So the segments that encoders put before the frame's are stepped over here, by their lengths as the
    decoder does it; at anything else the library is asked.

    Raises:
        ValueError: it is none, or damaged.
    """
    try:
        at = 2
        marker, length = _SEGMENT.unpack_from(jpeg, at)
        while marker in _OTHERS:
            at += 2 + length
            marker, length = _SEGMENT.unpack_from(jpeg, at)
        if marker in _FRAMES and jpeg[:2] == b"\xff\xd8":
            height, width = _SIZE.unpack_from(jpeg, at + 5)
            return width, height
    except StructError:
        pass
    import simplejpeg

    height, width = simplejpeg.decode_jpeg_header(jpeg)[:2]
    return width, height


def decode_scaled(jpeg: bytes, size: tuple[int, int], wanted: tuple[int, int], colour: str) -> "npt.NDArray[np.uint8]":
    """The picture, HxWx3 uint8 in `colour` order, at the smallest scale of the decoder not below `wanted`.

    size: (width, height) of the JPEG. wanted: (width, height), see `Detector.wanted_size`.

    Only by 2, 4 or 8: libjpeg-turbo also scales to other eighths, but without SIMD, so that 5/8 of a picture takes
    1.6 times as long as the whole, and leaves little for the letterbox to interpolate from: of the boxes above .3 in
    the frames themselves .88 were found again at IoU > .9, against .92 (640x480 to 416x312, quality 90).

    Raises:
        ValueError: it is damaged.
    """
    import simplejpeg

    least = _scaled(size, wanted)
    picture: npt.NDArray[np.uint8] = simplejpeg.decode_jpeg(
        jpeg, colour, fastdct=True, fastupsample=False, min_width=least[0], min_height=least[1]
    )
    return picture


def _scaled(size: tuple[int, int], wanted: tuple[int, int]) -> tuple[int, int]:
    """The smallest of `size` over 8, 4, 2 or 1 that is not below `wanted`."""
    for divisor in (8, 4, 2):
        scaled = -(-size[0] // divisor), -(-size[1] // divisor)
        if scaled[0] >= wanted[0] and scaled[1] >= wanted[1]:
            return scaled
    return size
