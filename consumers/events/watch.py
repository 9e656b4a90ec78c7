"""What zones and lines have in common: the objects of a frame as they look at them, and how they report."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from consumers.events.moment import Moment
from streamer.records import DetectedObject, Direction, EventKind
from streamer.records.stream import Line, Zone

Array = NDArray[np.float64]


class Report(Protocol):
    """Makes an event; returns its number. life: number of the event that began what this belongs to; None: itself."""

    def __call__(
        self,
        kind: EventKind,
        track: str,
        began: Moment,
        ended: Moment,
        *,
        life: int | None = None,
        place: str = "",
        direction: Direction | None = None,
        counts: Mapping[str, int] | None = None,
    ) -> int: ...


class Scene:
    """The objects of a frame. new: those that were not there before, by id.

    anchors: by kind, (N, 2) the points of the boxes that count. sizes: (N,) mean of width and height, in pixels.
    """

    def __init__(self, objects: Sequence[DetectedObject], new: Collection[str]) -> None:
        self.objects, self.new = objects, new
        boxes = [(o.bbox.left, o.bbox.top, o.bbox.right, o.bbox.bottom) for o in objects]
        corners = np.array(boxes, np.float64).reshape(-1, 4)
        middle = (corners[:, :2] + corners[:, 2:]) / 2
        foot = middle.copy()
        foot[:, 1] = corners[:, 3]
        self.anchors: dict[str, Array] = {"bottom": foot, "centre": middle}
        self.sizes: Array = (corners[:, 2:] - corners[:, :2]).sum(axis=1) / 2


class Sight(NamedTuple):
    """One object at one place.

    point: of its box, that counts. depth: how many pixels beyond the border, margin: how many are clear of it.
    wanted: whether it is of a class that the place is about. new: whether it was not there before.
    """

    track: str
    point: tuple[float, float]
    depth: float
    margin: float
    wanted: bool
    new: bool


def sights(place: Zone | Line, scene: Scene, depths: Array) -> Iterator[Sight]:
    """The objects as the place sees them."""
    points = scene.anchors[place.anchor].tolist()
    margins = (place.margin * scene.sizes).tolist()
    for one, (x, y), depth, margin in zip(scene.objects, points, depths.tolist(), margins, strict=True):
        wanted = not place.classes or one.type in place.classes
        yield Sight(one.id, (x, y), depth, margin, wanted, one.id in scene.new)
