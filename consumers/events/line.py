"""Who crosses a line, which way."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from consumers.events.border import Border
from consumers.events.geometry import Point, crosses, side
from consumers.events.moment import Moment
from consumers.events.watch import Report, Scene, Sight, sights
from streamer.records import Direction, EventKind
from streamer.records.stream import Line


@dataclass(slots=True)
class _Passer:
    """border: True is the right side. point: where it was last clear of the line. through: whether it changed sides
    between the line's ends rather than around one of them."""

    border: Border
    point: Point
    through: bool = False


class LineWatch:
    """One line and the objects near or far that it has seen on a side, by track.

    Its ends count: only who goes between them crosses it. An object that is gone before it has been on the other
    side for the least time has crossed all the same: beyond many a line the picture ends.
    """

    def __init__(self, line: Line) -> None:
        self.place = line
        self._passers: dict[str, _Passer] = {}
        self._counts = {direction.value: 0 for direction in Direction}

    def step(self, scene: Scene, now: Moment, report: Report) -> None:
        """Takes a frame in."""
        depths = side(self.place.start, self.place.end, scene.anchors[self.place.anchor])
        for sight in sights(self.place, scene, depths):
            passer = self._passers.get(sight.track)
            if passer is None:
                self._begin(sight)
            else:
                self._go_on(passer, sight, now, report)

    def end(self, track: str, last: Moment, report: Report) -> None:
        """The object is gone; it was seen last at `last`."""
        passer = self._passers.pop(track, None)
        if passer is not None and passer.border.since is not None and passer.through:
            passer.border.settled = passer.border.near
            self._cross(passer, track, passer.border.since, report)

    def _begin(self, sight: Sight) -> None:
        """From where it is first clear of the line."""
        if sight.wanted and abs(sight.depth) >= sight.margin and sight.depth:
            right = sight.depth > 0
            self._passers[sight.track] = _Passer(Border(right, right), sight.point)

    def _go_on(self, passer: _Passer, sight: Sight, now: Moment, report: Report) -> None:
        was = passer.border.near
        passer.border.step(sight.depth, sight.margin, now)
        if passer.border.near != was:
            passer.through = crosses(self.place.start, self.place.end, passer.point, sight.point)
        if abs(sight.depth) >= sight.margin:
            passer.point = sight.point
        changed = passer.border.settle(now, self.place.min_s)
        if changed and passer.through:
            self._cross(passer, sight.track, changed, report)

    def _cross(self, passer: _Passer, track: str, when: Moment, report: Report) -> None:
        direction = Direction.RIGHT if passer.border.settled else Direction.LEFT
        self._counts[direction.value] += 1
        name, counts = self.place.name, dict(self._counts)
        report(EventKind.CROSS, track, when, when, place=name, direction=direction, counts=counts)

    def dump(self) -> dict[str, Any]:
        """As JSON values."""
        passers = [[track, p.border.dump(), p.point, p.through] for track, p in self._passers.items()]
        return {"counts": dict(self._counts), "passers": passers}

    def load(self, saved: Mapping[str, Any]) -> None:
        """Takes over what another one dumped.

        Raises:
            KeyError, TypeError, ValueError: it is none.
        """
        self._counts = {direction.value: int(saved["counts"][direction.value]) for direction in Direction}
        for track, border, (x, y), through in saved["passers"]:
            self._passers[str(track)] = _Passer(Border.load(border), (float(x), float(y)), bool(through))
