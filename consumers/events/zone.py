"""Who is in a zone: entered, stayed, left."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from consumers.events.border import Border
from consumers.events.geometry import Polygon
from consumers.events.moment import Moment
from consumers.events.watch import Report, Scene, Sight, sights
from streamer.records import EventKind
from streamer.records.stream import Zone


@dataclass(slots=True)
class _Visit:
    """entered, life: None until the visit counts. dwelled: whether that was reported."""

    border: Border
    entered: Moment | None = None
    life: int | None = None
    dwelled: bool = False


class ZoneWatch:
    """One zone and its visitors, by track.

    An object that is first seen inside has entered when it was first seen; one that is lost inside is in there
    until its track ends, and left when it was last seen.
    """

    def __init__(self, zone: Zone) -> None:
        self.place = zone
        self._polygon = Polygon(zone.points)
        self._visits: dict[str, _Visit] = {}
        self._entered = 0

    def step(self, scene: Scene, now: Moment, report: Report) -> None:
        """Takes a frame in."""
        depths = self._polygon.depth(scene.anchors[self.place.anchor])
        for sight in sights(self.place, scene, depths):
            visit = self._visits.get(sight.track) or self._begin(sight)
            if visit is not None:
                visit.border.step(sight.depth, sight.margin, now)
                self._go_on(sight.track, visit, now, report)

    def end(self, track: str, last: Moment, report: Report) -> None:
        """The object is gone; it was seen last at `last`."""
        visit = self._visits.pop(track, None)
        if visit is not None and visit.entered is not None:
            self._leave(track, visit, visit.border.since or last, report)

    def _begin(self, sight: Sight) -> _Visit | None:
        # Who was outside must be clear of the border; who appears on this side of it was never outside.
        if not sight.wanted or sight.depth < (0 if sight.new else sight.margin):
            return None
        visit = self._visits[sight.track] = _Visit(Border(near=True, settled=False))
        return visit

    def _go_on(self, track: str, visit: _Visit, now: Moment, report: Report) -> None:
        changed = visit.border.settle(now, self.place.min_s)
        if changed and visit.border.settled:
            self._enter(track, visit, changed, report)
        elif changed:
            self._leave(track, visit, changed, report)
        inside = visit.border.settled or visit.border.since is not None
        if not inside:
            self._visits.pop(track)
        elif visit.entered is not None and visit.border.near and not visit.dwelled:
            self._dwell(track, visit, visit.entered, now, report)

    def _enter(self, track: str, visit: _Visit, when: Moment, report: Report) -> None:
        self._entered += 1
        visit.entered = when
        visit.life = report(EventKind.ENTER, track, when, when, place=self.place.name, counts=self._counts())

    def _dwell(self, track: str, visit: _Visit, entered: Moment, now: Moment, report: Report) -> None:
        if self.place.dwell_s is not None and now.since(entered) >= self.place.dwell_s:
            visit.dwelled = True
            name, counts = self.place.name, self._counts()
            report(EventKind.DWELL, track, entered, now, life=visit.life, place=name, counts=counts)

    def _leave(self, track: str, visit: _Visit, when: Moment, report: Report) -> None:
        assert visit.entered is not None
        entered, visit.entered = visit.entered, None
        name, counts = self.place.name, self._counts()
        report(EventKind.LEAVE, track, entered, when, life=visit.life, place=name, counts=counts)

    def _counts(self) -> dict[str, int]:
        inside = sum(visit.entered is not None for visit in self._visits.values())
        return {"inside": inside, "entered": self._entered}

    def dump(self) -> dict[str, Any]:
        """As JSON values."""
        visits = [[track, v.border.dump(), v.entered, v.life, v.dwelled] for track, v in self._visits.items()]
        return {"entered": self._entered, "visits": visits}

    def load(self, saved: Mapping[str, Any]) -> None:
        """Takes over what another one dumped.

        Raises:
            KeyError, TypeError, ValueError: it is none.
        """
        self._entered = int(saved["entered"])
        for track, border, entered, life, dwelled in saved["visits"]:
            since = None if entered is None else Moment.load(entered)
            self._visits[str(track)] = _Visit(
                Border.load(border), since, None if life is None else int(life), bool(dwelled)
            )
