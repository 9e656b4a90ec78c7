"""What two models say of one frame, held against each other. Neither is the truth: the roles can be exchanged."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from engines.detections import Floats
from engines.overlaps import overlaps
from streamer.records import DetectedObject

Objects = tuple[DetectedObject, ...]


@dataclass(frozen=True, slots=True)
class Pair:
    """The same object, as both see it. iou: of their boxes."""

    baseline: DetectedObject
    candidate: DetectedObject
    iou: float


@dataclass(frozen=True, slots=True)
class Differences:
    """both: seen by both, of one class. renamed: pairs of the rest that lie on each other, of two classes."""

    both: tuple[Pair, ...]
    only_baseline: Objects
    only_candidate: Objects
    renamed: tuple[Pair, ...]

    @property
    def weight(self) -> float:
        """How much they differ: the confidences of what only one of them sees, summed."""
        return sum(each.confidence for each in (*self.only_baseline, *self.only_candidate))


def compare(baseline: Objects, candidate: Objects, classes: Collection[str], least: float) -> Differences:
    """Pairs objects of one class whose boxes overlap by `least` (IoU) or more, the best overlaps first.

    classes: names of those that count; objects of others are left out.
    """
    old = [each for each in baseline if each.type in classes]
    new = [each for each in candidate if each.type in classes]
    shared = overlaps(_boxes(old), _boxes(new))
    types = np.array([each.type for each in old])[:, None] == np.array([each.type for each in new])
    matched = _pairs(np.where(types, shared, 0), least)
    of_old, of_new = {i for i, _ in matched}, {j for _, j in matched}
    rest = shared.copy()
    rest[list(of_old)] = 0
    rest[:, list(of_new)] = 0
    both, renamed = (
        tuple(Pair(old[i], new[j], float(shared[i, j])) for i, j in pairs) for pairs in (matched, _pairs(rest, least))
    )
    return Differences(
        both,
        tuple(each for i, each in enumerate(old) if i not in of_old),
        tuple(each for j, each in enumerate(new) if j not in of_new),
        renamed,
    )


def _pairs(shared: Floats, least: float) -> list[tuple[int, int]]:
    """Rows and columns of (N, M), each at most once, from the largest value down to `least`; in order of the rows."""
    places = sorted(np.argwhere(shared >= least).tolist(), key=lambda place: (-shared[*place], *place))
    rows: dict[int, int] = {}
    columns: set[int] = set()
    for row, column in places:
        if row not in rows and column not in columns:
            rows[row] = column
            columns.add(column)
    return sorted(rows.items())


def _boxes(objects: Sequence[DetectedObject]) -> Floats:
    rows = [(o.bbox.left, o.bbox.top, o.bbox.right, o.bbox.bottom) for o in objects]
    return np.array(rows, np.float32).reshape(-1, 4)
