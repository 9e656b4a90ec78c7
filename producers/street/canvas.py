"""Drawing in metres: what the street's things and people are made of."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int]
"""Blue, green, red."""
Point = tuple[float, float]
"""Metres right of the left edge, metres above the ground."""
Pixels = NDArray[np.uint8]

_FINER = 2  # drawn so many times larger than shown: smooth edges also for the mask
_SHIFT = 4


class Canvas:
    """A thing's picture and its mask, drawn in metres at a scale of `scale` pixels per metre."""

    def __init__(self, width: float, height: float, scale: float) -> None:
        self._size = max(1, round(width * scale)), max(1, round(height * scale))
        self._scale = scale * _FINER
        self._bottom = self._size[1] * _FINER
        shape = self._size[1] * _FINER, self._size[0] * _FINER
        self.colours, self.mask = np.zeros((*shape, 3), np.uint8), np.zeros(shape, np.uint8)

    def polygon(self, points: Sequence[Point], colour: Colour) -> None:
        """Fills a polygon."""
        corners = [self._corners(points)]
        cv2.fillPoly(self.colours, corners, colour, cv2.LINE_8, _SHIFT)
        cv2.fillPoly(self.mask, corners, 255, cv2.LINE_8, _SHIFT)

    def box(self, left: float, bottom: float, right: float, top: float, colour: Colour) -> None:
        """Fills a rectangle."""
        self.polygon([(left, bottom), (right, bottom), (right, top), (left, top)], colour)

    def oval(self, centre: Point, radius_x: float, radius_y: float, colour: Colour) -> None:
        """Fills an upright ellipse."""
        angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        x, y = centre
        self.polygon([(x + radius_x * np.cos(a), y + radius_y * np.sin(a)) for a in angles], colour)

    def limb(self, points: Sequence[Point], thickness: float, colour: Colour) -> None:
        """A line with round ends and joints."""
        width = max(1, round(thickness * self._scale))
        corners = [self._corners(points)]
        cv2.polylines(self.colours, corners, False, colour, width, cv2.LINE_8, _SHIFT)
        cv2.polylines(self.mask, corners, False, 255, width, cv2.LINE_8, _SHIFT)

    def shade(self, top: float = 1.12, bottom: float = 0.82) -> None:
        """Light from above."""
        rows = np.linspace(top, bottom, len(self.colours), dtype=np.float32)[:, None, None]
        self.colours = np.clip(self.colours * rows, 0, 255).astype(np.uint8)

    def finish(self, mirrored: bool) -> tuple[Pixels, Pixels]:
        """Colours (height, width, 3) multiplied by the mask, and the mask (height, width), at the size shown."""
        covered = self.colours * (self.mask[..., None] // 255)
        colours = cv2.resize(covered, self._size, interpolation=cv2.INTER_AREA)
        mask = cv2.resize(self.mask, self._size, interpolation=cv2.INTER_AREA)
        if mirrored:
            colours, mask = cv2.flip(colours, 1), cv2.flip(mask, 1)
        return colours, mask

    def _corners(self, points: Sequence[Point]) -> NDArray[np.int32]:
        corners = np.array(points, np.float64) * self._scale
        corners[:, 1] = self._bottom - corners[:, 1]
        return np.round((corners - 0.5) * (1 << _SHIFT)).astype(np.int32)


def darker(colour: Colour, factor: float = 0.7) -> Colour:
    """`colour` with its brightness multiplied."""
    blue, green, red = (min(255, int(part * factor)) for part in colour)
    return blue, green, red
