"""Which objects are there: new, still there, gone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from consumers.events.moment import Moment
from consumers.events.watch import Report
from streamer.records import DetectedObject, EventKind

UPDATE_S = 10.0
"""An object that stays makes an event each so many seconds, by the source's time."""


@dataclass(slots=True)
class _Thing:
    """seen: as it was seen last. life: number of its first event. told: when an event last said that it is there."""

    seen: DetectedObject
    first: Moment
    last: Moment
    told: Moment
    life: int


class Presence:
    """The objects of a stream by track, from their first sight until their track ends."""

    def __init__(self) -> None:
        self._things: dict[str, _Thing] = {}

    def step(self, objects: Sequence[DetectedObject], now: Moment, report: Report) -> set[str]:
        """Takes a frame in; returns who is new."""
        new = set()
        for one in objects:
            thing = self._things.get(one.id)
            if thing is None:
                new.add(one.id)
                thing = self._things[one.id] = _Thing(one, now, now, now, 0)
                thing.life = report(EventKind.NEW, one.id, now, now)
            else:
                thing.seen, thing.last = one, now
                self._update(thing, now, report)
        return new

    def _update(self, thing: _Thing, now: Moment, report: Report) -> None:
        if now.since(thing.told) >= UPDATE_S:
            thing.told = now
            report(EventKind.UPDATE, thing.seen.id, thing.first, now, life=thing.life)

    def end(self, track: str, report: Report) -> None:
        """The object is gone."""
        thing = self._things[track]
        report(EventKind.END, track, thing.first, thing.last, life=thing.life)
        del self._things[track]

    def tracks(self) -> list[str]:
        """All that are there, those that are hidden just now included."""
        return list(self._things)

    def last(self, track: str) -> Moment | None:
        """When it was seen last; None if it isn't there."""
        thing = self._things.get(track)
        return thing.last if thing else None

    def seen(self, track: str) -> DetectedObject:
        """How it was seen last."""
        return self._things[track].seen

    def dump(self) -> list[Any]:
        """As JSON values."""
        return [[t.seen.to_fields(), t.first, t.last, t.told, t.life] for t in self._things.values()]

    def load(self, saved: Sequence[Sequence[Any]]) -> None:
        """Takes over what another one dumped.

        Raises:
            KeyError, TypeError, ValueError: it is none.
        """
        for fields, first, last, told, life in saved:
            seen = DetectedObject.from_fields(fields)
            times = Moment.load(first), Moment.load(last), Moment.load(told)
            self._things[seen.id] = _Thing(seen, *times, int(life))
