"""JPEG to picture, no larger than a network needs."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


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
