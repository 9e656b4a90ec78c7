"""From the tracks of one stream to its events. One engine per stream and epoch, as with its tracker.

No thread, no clock of its own: the same frames give the same events, with the same numbers.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

from consumers.events.line import LineWatch
from consumers.events.moment import Moment
from consumers.events.presence import Presence
from consumers.events.watch import Scene
from consumers.events.zone import ZoneWatch
from consumers.tracking.clock import Clock
from streamer.errors import RecordError
from streamer.records import DetectedObject, Direction, Event, EventKind, FrameId
from streamer.records.stream import Line, Zone

VERSION = 1
Watch = ZoneWatch | LineWatch


class EventEngine:
    """Objects that come, stay and go, and what they do at the stream's zones and lines."""

    def __init__(self, pipeline: str, stream: str, zones: Sequence[Zone] = (), lines: Sequence[Line] = ()) -> None:
        self._pipeline, self._stream = pipeline, stream
        self._watches: list[Watch] = [*map(ZoneWatch, zones), *map(LineWatch, lines)]
        self._presence = Presence()
        self._clock = Clock()
        self._frame = FrameId(0, 0)
        self._now = Moment(0, 0)
        self._next = 0
        self._events: list[Event] = []

    def update(
        self,
        frame: FrameId,
        captured_ms: int,
        seconds: float,
        objects: Sequence[DetectedObject],
        ended: Iterable[str] = (),
    ) -> list[Event]:
        """What happened by this frame, in order.

        seconds: as the tracker got it. objects: those with a confirmed track, less sure boxes included; their id is
        the track's. ended: tracks that are over, see `Tracker.ended`.
        """
        self._clock = self._clock.tick(seconds)
        self._frame, self._now = frame, Moment(self._clock.us, captured_ms)
        for track in ended:
            self._end(track)
        new = self._presence.step(objects, self._now, self._report)
        if self._watches and objects:
            scene = Scene(objects, new)
            for watch in self._watches:
                watch.step(scene, self._now, self._report)
        return self._taken()

    def finish(self) -> list[Event]:
        """The epoch is over, and with it all that is there."""
        for track in self._presence.tracks():
            self._end(track)
        return self._taken()

    def redefine(self, zones: Sequence[Zone], lines: Sequence[Line]) -> list[Event]:
        """Other zones and lines from here on. Those that stay as they were go on; visits to the others end now."""
        old = {watch.place: watch for watch in self._watches}
        wanted: tuple[Zone | Line, ...] = (*zones, *lines)
        self._watches = [old.pop(place) if place in old else _watch(place) for place in wanted]
        for watch in old.values():
            for track in self._presence.tracks():
                watch.end(track, self._now, self._report)
        return self._taken()

    def _end(self, track: str) -> None:
        last = self._presence.last(track)
        if last is None:
            return
        for watch in self._watches:
            watch.end(track, last, self._report)
        self._presence.end(track, self._report)

    def _report(
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
    ) -> int:
        number = self._next
        self._next += 1
        name = f"{self._frame.epoch}-{number if life is None else life}"
        seen, seconds = self._presence.seen(track), ended.since(began)
        who = (self._pipeline, self._stream, self._frame, number, name, kind, seen)
        self._events.append(Event(*who, began.ms, ended.ms, seconds, place, direction, counts or {}))
        return number

    def _taken(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    def dump(self) -> dict[str, Any]:
        """Everything that the next frames' events depend on, as JSON values; some 300 bytes per object."""
        return {
            "version": VERSION,
            "clock": self._clock.dump(),
            "frame": [self._frame.epoch, self._frame.sequence],
            "now": self._now,
            "next": self._next,
            "presence": self._presence.dump(),
            "zones": [_dump_watch(watch) for watch in self._watches if isinstance(watch, ZoneWatch)],
            "lines": [_dump_watch(watch) for watch in self._watches if isinstance(watch, LineWatch)],
        }

    @classmethod
    def load(cls, state: Mapping[str, Any], pipeline: str, stream: str) -> Self:
        """An engine that goes on where the dumped one was, with its zones and lines; see `redefine`.

        Raises:
            RecordError: the state is damaged or of another version.
        """
        try:
            if state["version"] != VERSION:
                raise RecordError(f"state of events has version {state['version']!r}, not {VERSION}")
            engine = cls(pipeline, stream)
            engine._take_over(state)
            return engine
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise RecordError(f"not a state of events: {error!r:.200}") from None

    def _take_over(self, state: Mapping[str, Any]) -> None:
        self._clock = Clock.load(state["clock"])
        self._frame = FrameId(*map(int, state["frame"]))
        self._now = Moment.load(state["now"])
        self._next = int(state["next"])
        self._presence.load(state["presence"])
        for saved in state["zones"]:
            self._watches.append(ZoneWatch(Zone.model_validate(saved["place"])))
            self._watches[-1].load(saved["watch"])
        for saved in state["lines"]:
            self._watches.append(LineWatch(Line.model_validate(saved["place"])))
            self._watches[-1].load(saved["watch"])


def _watch(place: Zone | Line) -> Watch:
    return ZoneWatch(place) if isinstance(place, Zone) else LineWatch(place)


def _dump_watch(watch: Watch) -> dict[str, Any]:
    return {"place": watch.place.model_dump(mode="json", exclude_defaults=True), "watch": watch.dump()}
