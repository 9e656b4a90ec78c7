"""Privacy masks: what is under them never leaves the producer, whatever else happens to the picture.

They are drawn into our own copy of the decoded planes, before scaling and encoding could spread what is under
them. A mask covers every pixel that its polygon touches, one pixel around, and every chroma sample of these.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from producers.colour import Plane
from producers.transform import Rectangle, Size
from streamer.errors import UsageError
from streamer.records.stream import Mask

GREY = 128  # of a filled mask, in every plane
# A pixelated mask has at most so many blocks across its longer side, and none is smaller than this many pixels.
BLOCKS, MIN_BLOCK = 8, 16
_FAR = 1e6  # pixels; OpenCV's fixed-point polygons overflow some way beyond
_SHIFT = 4  # bits behind the point in polygon coordinates
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class _Patch:
    """A mask's part of one plane.

    rows, columns: the window of the plane. inside: 255 where it is covered, else 0. grey: the fill, 0 where not
    covered. block: side of a pixelated block in samples (across, down), None for a filled mask.
    """

    rows: slice
    columns: slice
    inside: Plane
    grey: Plane
    block: Size | None

    def draw(self, plane: Plane) -> None:
        window = plane[self.rows, self.columns]
        if self.block is None:
            cv2.bitwise_and(window, cv2.bitwise_not(self.inside), dst=window)
            cv2.bitwise_or(window, self.grey, dst=window)
            return
        height, width = window.shape
        blocks = max(1, round(width / self.block[0])), max(1, round(height / self.block[1]))
        coarse = cv2.resize(window, blocks, interpolation=cv2.INTER_AREA)
        cv2.copyTo(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_NEAREST), self.inside, window)


class Masks:
    """The masks of a stream, ready for pictures of one size, turn and crop."""

    def __init__(
        self, masks: Sequence[Mask], source: Size, cut: Rectangle, planes: Sequence[Plane], margin: int = 0
    ) -> None:
        """source: size of the upright picture. cut: the part of it that travels. planes: of such a part.
        margin: by how many pixels colour has spread already.

        Raises:
            UsageError: a mask covers nothing of the upright picture, so it is not where it was meant to be. Then
                nothing of the stream may travel: better no picture than one that should have been masked.
        """
        self._patches: list[tuple[int, _Patch]] = []
        for number, mask in enumerate(masks, 1):
            covered = _cover(mask.points, source, 1 + margin)
            if covered is None:
                raise UsageError(
                    f"mask {number} covers nothing of the picture, which is {source[0]}x{source[1]}: "
                    "set its points in upright source pixels; until then the stream publishes nothing"
                )
            self._add(mask, covered[cut.top : cut.top + cut.height, cut.left : cut.left + cut.width], planes)

    def draw(self, planes: Sequence[Plane]) -> None:
        """Covers what is under the masks, in place."""
        for number, patch in self._patches:
            patch.draw(planes[number])

    def _add(self, mask: Mask, covered: Plane, planes: Sequence[Plane]) -> None:
        if not covered.any():
            return  # inside the picture, but cropped away
        block = _block(covered) if mask.mode == "pixelate" else None
        for number, plane in enumerate(planes):
            inside = _shrink(covered, plane.shape)
            across, down = _ratio(covered.shape[1], plane.shape[1]), _ratio(covered.shape[0], plane.shape[0])
            self._patches.append((number, _patch(inside, (block // across, block // down) if block else None)))


def _patch(inside: Plane, block: Size | None) -> _Patch:
    left, top, width, height = cv2.boundingRect(inside)
    rows, columns = slice(top, top + height), slice(left, left + width)
    inside = inside[rows, columns].copy()
    return _Patch(rows, columns, inside, np.bitwise_and(inside, np.uint8(GREY)), block)


def _block(covered: Plane) -> int:
    width, height = map(int, cv2.boundingRect(covered)[2:])
    return max(MIN_BLOCK, _ratio(max(width, height), BLOCKS))


def _ratio(whole: int, part: int) -> int:
    """Rounded up."""
    return -(-whole // part)


def _shrink(covered: Plane, shape: tuple[int, ...]) -> Plane:
    """`covered` at the shape of a chroma plane: a sample is covered if any pixel that it colours is."""
    down, across = _ratio(covered.shape[0], shape[0]), _ratio(covered.shape[1], shape[1])
    if down == across == 1:
        return covered
    padded = np.zeros((shape[0] * down, shape[1] * across), np.uint8)
    padded[: covered.shape[0], : covered.shape[1]] = covered
    shrunk: Plane = padded.reshape(shape[0], down, shape[1], across).max((1, 3))
    return shrunk


def _cover(points: Points, size: Size, margin: int) -> Plane | None:
    """255 where a polygon, grown by `margin` pixels, covers a picture of `size`, else 0; None if that is nowhere.

    Everything that the outline goes around counts, however often it crosses itself: OpenCV alone leaves out what
    is surrounded twice, such as the middle of a five-pointed star.
    """
    outline = np.array(points, np.float64)
    if not np.isfinite(outline).all() or np.abs(outline).max() > _FAR:
        return None
    # Pixel (x, y) spans x..x+1, but OpenCV's polygons have its centre at (x, y).
    corners = np.round((outline - 0.5) * (1 << _SHIFT)).astype(np.int32)
    covered = np.zeros((size[1], size[0]), np.uint8)
    cv2.fillPoly(covered, [corners], 255, shift=_SHIFT)
    covered |= np.where(_windings(corners, covered.shape) != 0, np.uint8(255), np.uint8(0))
    if not covered.any():
        return None
    grown: Plane = cv2.dilate(covered, np.ones((2 * margin + 1, 2 * margin + 1), np.uint8))
    return grown


def _windings(corners: NDArray[np.int32], shape: tuple[int, ...]) -> NDArray[np.int16]:
    """How often the outline goes around each pixel: the sum over the fan of triangles from its first corner."""
    windings = np.zeros(shape, np.int16)
    for second, third in pairwise(corners[1:]):
        one, other = (second - corners[0]).astype(np.int64), (third - corners[0]).astype(np.int64)
        triangle = np.zeros(shape, np.uint8)
        cv2.fillConvexPoly(triangle, np.stack([corners[0], second, third]), 1, shift=_SHIFT)
        windings += np.int16(np.sign(one[0] * other[1] - one[1] * other[0])) * triangle
    return windings
