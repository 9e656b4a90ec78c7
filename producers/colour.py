"""Colours: from what the source says of its planes to what JPEG means, which is BT.601 at full range.

Both differences are linear, so one weighted sum per plane does range and matrix together. It runs on the planes
as they travel (after scaling), and costs a tenth of swscale's conversion, which goes through RGB.
"""

from dataclasses import dataclass
from functools import cache

import av
import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.uint8]

# (Kr, Kb) by ITU-T H.273 matrix code, the number in AVFrame.colorspace: BT.709, FCC, BT.601 (625 and 525 lines),
# SMPTE 240M, BT.2020. Constant-luminance BT.2020 (10) is not linear; this is the nearest that is.
_WEIGHTS = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
    10: (0.2627, 0.0593),
}
_YCGCO = 8
_LIMITED, _FULL = 1, 2  # AVFrame.color_range
BT709, BT601 = 1, 6
HD_HEIGHT = 720


@dataclass(frozen=True, slots=True)
class Tags:
    """What the values in a picture's YUV planes mean.

    matrix: code of ITU-T H.273; one of those that can be converted here.
    full: luma and chroma use all of 0..255; else luma 16..235 and chroma 16..240.
    """

    matrix: int
    full: bool

    @property
    def jpeg(self) -> bool:
        """Whether this is what JPEG means already."""
        return self.full and _WEIGHTS.get(self.matrix) == _WEIGHTS[BT601]


JPEG = Tags(BT601, True)


def tags(frame: av.VideoFrame) -> Tags:
    """What `frame` says of itself, and where it says nothing: 720 lines and more are BT.709, fewer BT.601; limited.

    The yuvj formats (MJPEG cameras) and grey are full range unless tagged otherwise, untagged yuvj BT.601 at any size.
    """
    name = frame.format.name
    by_format = name.startswith("yuvj")
    matrix = int(frame.colorspace)
    if matrix not in _WEIGHTS and matrix != _YCGCO:
        matrix = BT709 if frame.height >= HD_HEIGHT and not by_format else BT601
    full_by_default = by_format or name.startswith(("gray", "ya", "mono"))
    full = int(frame.color_range) == _FULL or (full_by_default and int(frame.color_range) != _LIMITED)
    return Tags(matrix, full)


class Mix:
    """Converts planes from `tags` to JPEG's meaning. Keeps its buffers; belongs to one thread.

    >>> Mix(JPEG).apply(planes) is planes
    True
    """

    def __init__(self, source: Tags) -> None:
        self._skip = source.jpeg
        self._luma_gain, chroma_gain = (1.0, 1.0) if source.full else (255 / 219, 255 / 224)
        self._luma_offset = 0.0 if source.full else -16 * self._luma_gain
        matrix = chroma_mix(source.matrix) * chroma_gain
        self._chroma = matrix[1:]
        # What luma takes from chroma travels as a plane of bytes around 128, spread over their whole range.
        self._spread = float(np.abs(matrix[0]).sum())
        self._from_chroma = matrix[0] / self._spread if self._spread else matrix[0]
        self._buffers: list[Plane] = []

    def apply(self, planes: list[Plane]) -> list[Plane]:
        """The planes converted: one (luma) or three (luma, Cb, Cr), uint8, chroma at whole or half size.

        The result is `planes` itself if nothing needs converting, else buffers that the next call overwrites.
        """
        if self._skip or (len(planes) == 1 and self._luma_gain == 1):
            return planes
        if [b.shape for b in self._buffers] != [p.shape for p in planes]:
            self._buffers = [np.empty(p.shape, np.uint8) for p in planes]
        if len(planes) == 1 or not self._spread:
            # convertScaleAbs would fold what is below black up again; a sum saturates.
            cv2.addWeighted(planes[0], self._luma_gain, planes[0], 0, self._luma_offset, dst=self._buffers[0])
        else:
            self._mix_luma(*planes)
        if len(planes) == 3:
            for out, (cb, cr) in zip(self._buffers[1:], self._chroma, strict=True):
                cv2.addWeighted(planes[1], cb, planes[2], cr, 128 - 128 * (cb + cr), dst=out)
        return self._buffers

    def _mix_luma(self, luma: Plane, cb: Plane, cr: Plane) -> None:
        share = cv2.addWeighted(cb, self._from_chroma[0], cr, self._from_chroma[1], 128 - 128 * self._from_chroma.sum())
        height, width = luma.shape
        if share.shape[1] < width:
            share = np.multiply(share, 257, dtype=np.uint16).view(np.uint8)[:, :width]  # each byte twice
        step = 2 if share.shape[0] < height else 1
        offset = self._luma_offset - 128 * self._spread
        for first in range(step):
            rows, out = luma[first::step], self._buffers[0][first::step]
            cv2.addWeighted(rows, self._luma_gain, share[: len(rows)], self._spread, offset, dst=out)


@cache
def chroma_mix(matrix: int) -> NDArray[np.float64]:
    """What luma, Cb and Cr of BT.601 take from the chroma planes of `matrix`, at full range: 3x2.

    Grey is the same luma in all of them, so BT.601's luma is the source's plus the first row, and the other two
    rows have no part of luma.
    """
    mixed: NDArray[np.float64] = _from_rgb(BT601) @ np.linalg.inv(_from_rgb(matrix))
    return mixed[:, 1:].round(9)  # exact zeros where nothing is to be mixed


def _from_rgb(matrix: int) -> NDArray[np.float64]:
    """RGB in 0..1 -> luma in 0..1 and the two chroma planes in -0.5..0.5; 3x3 (ITU-T H.273, 8.3)."""
    if matrix == _YCGCO:
        return np.array([[0.25, 0.5, 0.25], [-0.25, 0.5, -0.25], [0.5, 0, -0.5]])
    red, blue = _WEIGHTS[matrix]
    luma = np.array([red, 1 - red - blue, blue])
    return np.array([luma, (np.eye(3)[2] - luma) / (2 - 2 * blue), (np.eye(3)[0] - luma) / (2 - 2 * red)])
