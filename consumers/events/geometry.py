"""Where points lie to a polygon and to a line, in pixels. Only sums, products and roots: the same on any machine."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Point = tuple[float, float]


class Polygon:
    """A closed outline that may cross itself; everything that it goes around is inside (nonzero winding)."""

    def __init__(self, points: tuple[Point, ...]) -> None:
        self._x, self._y = np.array(points, np.float64).T[:, :, None]
        self._along_x, self._along_y = np.roll(self._x, -1, 0) - self._x, np.roll(self._y, -1, 0) - self._y
        length = self._along_x * self._along_x + self._along_y * self._along_y
        self._length = np.where(length > 0, length, 1.0)  # squared; a point given twice is an edge of no length

    def depth(self, points: Array) -> Array:
        """(N,) how far points (N, 2) are from the outline: positive inside, negative outside, 0 on it."""
        to_x, to_y = points[:, 0] - self._x, points[:, 1] - self._y  # (edges, N), from each edge's start
        along = np.clip((to_x * self._along_x + to_y * self._along_y) / self._length, 0, 1)
        off_x, off_y = to_x - along * self._along_x, to_y - along * self._along_y
        distance = np.sqrt((off_x * off_x + off_y * off_y).min(axis=0))
        side = self._along_x * to_y - self._along_y * to_x
        begins_above, ends_above = to_y >= 0, to_y - self._along_y >= 0
        windings = (~begins_above & ends_above & (side < 0)).sum(0) - (begins_above & ~ends_above & (side > 0)).sum(0)
        inside: Array = np.where(windings != 0, distance, -distance)
        return inside


def side(start: Point, end: Point, points: Array) -> Array:
    """(N,) distance of points (N, 2) from the endless line: positive on the right, looking from start to end.

    Right as a person sees it in the picture, in which y grows downwards.
    """
    along_x, along_y = end[0] - start[0], end[1] - start[1]
    length = np.sqrt(along_x * along_x + along_y * along_y)
    found: Array = (along_x * (points[:, 1] - start[1]) - along_y * (points[:, 0] - start[0])) / length
    return found


def crosses(start: Point, end: Point, before: Point, now: Point) -> bool:
    """Whether the way from `before` to `now`, which are on different sides of the line, leads through its length."""
    one, other = _turn(before, now, start), _turn(before, now, end)
    return (one <= 0 <= other) or (other <= 0 <= one)


def _turn(one: Point, other: Point, point: Point) -> float:
    return (other[0] - one[0]) * (point[1] - one[1]) - (other[1] - one[1]) * (point[0] - one[0])
