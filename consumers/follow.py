"""What a stream's frames mean together: tracks and events. Between order and commit: frames come here once, in order.

What is known of a stream is written to topic `state` in the same transaction as the results that it was made of, so
who takes the stream over goes on exactly behind them, and nothing has to be worked out again.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np
import orjson

from consumers.entry import Batch, Partition
from consumers.events.engine import EventEngine
from consumers.tracking.tracker import Tracked, Tracker
from engines.detections import Detections
from streamer.errors import RecordError
from streamer.records import ZERO, DetectedObject, Detection, Event, FrameId, Gap, Result
from streamer.records.stream import Line, Zone

log = logging.getLogger(__name__)

_VERSION = 1


Places = tuple[tuple[Zone, ...], tuple[Line, ...]]
"""A stream's zones and lines."""


class Follower:
    """Follows the objects of one stream through one epoch.

    last_event: id of the newest event, in whichever epoch it was. rests: nobody is followed for now.
    """

    def __init__(
        self, epoch: int, tracker: Tracker, events: EventEngine, by_source: bool, ahead_s: float = 0.0
    ) -> None:
        self.epoch, self.last_event = epoch, ZERO
        self._tracker, self._events = tracker, events
        self._by_source, self._ahead_s = by_source, ahead_s
        self._over = False  # nobody who is there according to the events is followed any more
        self.rests = False
        self._places: Places | None = None

    @classmethod
    def begin(cls, result: Result, low_score: float, classes: Sequence[str]) -> Self:
        """At the first frame of an epoch."""
        # A camera's own time is known a few seconds after it was opened: time must not jump then, so it's left alone.
        by_source = result.source_time is not None
        events = EventEngine(result.pipeline, result.stream)
        return cls(result.id.epoch, Tracker(low_score, classes), events, by_source)

    def follow(self, result: Result, places: Places, classes: Sequence[str]) -> tuple[Result, list[Event]]:
        """The result with the objects' ids and the class that each has had all along; and what has happened."""
        assert result.candidates is not None
        self.rests = False
        events = self._events.finish() if self._over else []
        self._over = False
        if places != self._places:
            events, self._places = events + self._events.redefine(*places), places
        everything = (*result.objects, *result.candidates)
        seconds = self._seconds(result)
        tracked = self._tracker.update(seconds, _detections(everything, classes))
        known = list(everything)
        for track in tracked:
            known[track.detection] = _named(known[track.detection], track, classes)
        confirmed = [known[track.detection] for track in tracked if track.confirmed]
        ended = map(str, self._tracker.ended())
        events += self._events.update(result.id, result.captured_ms, seconds, confirmed, ended)
        return replace(result, objects=tuple(known[: len(result.objects)])), self._noted(events)

    def finish(self) -> list[Event]:
        """The epoch is over."""
        return self._noted(self._events.finish())

    def rest(self, low_score: float, classes: Sequence[str]) -> list[Event]:
        """Whoever is there counts as gone. Followed again in this epoch, tracks and events are numbered on."""
        self.rests, self._over = True, False
        self._tracker = Tracker(low_score, classes, self._tracker.next_id)
        return self.finish()

    def _noted(self, events: list[Event]) -> list[Event]:
        if events:
            self.last_event = FrameId(events[-1].frame.epoch, events[-1].number)
        return events

    def _seconds(self, result: Result) -> float:
        captured_s = result.captured_ms / 1000
        if self._by_source and result.source_time is not None:
            self._ahead_s = result.source_time - captured_s
        return captured_s + self._ahead_s

    def dump(self) -> bytes:
        """For topic `state`."""
        return orjson.dumps(
            {
                "version": _VERSION,
                "epoch": self.epoch,
                "lastEvent": [self.last_event.epoch, self.last_event.sequence],
                "bySource": self._by_source,
                "ahead": self._ahead_s,
                "tracker": self._tracker.dump(),
                "events": self._events.dump(),
            },
            default=list,  # of moments, which are named tuples
        )

    @classmethod
    def load(cls, state: bytes, pipeline: str, stream: str, low_score: float, classes: Sequence[str]) -> Self:
        """The reverse. Tracks that can't go on, of classes that the model doesn't have, end; numbers do go on.

        Raises:
            RecordError: it is damaged, or of another version.
        """
        try:
            record: Any = orjson.loads(state)
            if record["version"] != _VERSION:
                raise RecordError(f"version {record['version']!r}, not {_VERSION}")
            tracker, over = _tracker(record["tracker"], stream, low_score, classes)
            events = EventEngine.load(record["events"], pipeline, stream)
            follower = cls(int(record["epoch"]), tracker, events, bool(record["bySource"]), float(record["ahead"]))
            follower._over = over
            follower.last_event = FrameId(*map(int, record["lastEvent"]))
            return follower
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise RecordError(f"not a state: {error!r:.200}") from None


def _tracker(state: Mapping[str, Any], stream: str, low_score: float, classes: Sequence[str]) -> tuple[Tracker, bool]:
    """As it was dumped, or with its numbers alone; and whether that is so."""
    try:
        return Tracker.load(state, low_score, classes), False
    except RecordError as error:
        tracker = Tracker(low_score, classes, int(state["next"]))
        log.warning("stream %s: its tracks end: %s", stream, error)
        return tracker, True


class Followers:
    """Those of all streams of this worker's partitions. `open` and `forget` from any thread, `follow` from one.

    low_score: see Tracker. places: gives a stream's zones and lines. classes: the model's class names; to be set before
    anything is followed.
    """

    def __init__(self, pipeline: str, low_score: float, places: Callable[[str], Places]) -> None:
        self._pipeline, self._low_score, self._places = pipeline, low_score, places
        self.classes: Sequence[str] = ()
        self._partitions: dict[Partition, dict[str, Follower]] = {}
        self._lock = threading.Lock()

    def open(self, partition: Partition, states: Mapping[str, bytes]) -> dict[str, FrameId]:
        """Takes a partition over, with the states that were committed with its last results.

        Returns the newest event of each stream that has had one.
        """
        followers = self._loaded(states)
        with self._lock:
            self._partitions[partition] = followers
        return {name: follower.last_event for name, follower in followers.items() if follower.last_event > ZERO}

    def resume(self, partition: Partition, states: Mapping[str, bytes]) -> None:
        """Streams that are to be followed from now on, with what was committed if they were followed before."""
        loaded = self._loaded(states)
        with self._lock:
            followers = self._partitions.get(partition, {})
            for stream, follower in loaded.items():
                followers.setdefault(stream, follower)  # what we have followed ourselves is known better

    def _loaded(self, states: Mapping[str, bytes]) -> dict[str, Follower]:
        followers: dict[str, Follower] = {}
        for stream, state in states.items():
            try:
                followers[stream] = Follower.load(state, self._pipeline, stream, self._low_score, self.classes)
            except RecordError as error:
                log.warning("stream %s: its tracks begin anew: %s", stream, error)
        return followers

    def forget(self, partitions: Iterable[Partition]) -> None:
        """Partitions that were given up."""
        with self._lock:
            for partition in partitions:
                self._partitions.pop(partition, None)

    def follow(self, batch: Batch) -> None:
        """Puts tracks into a batch's results, and what is to be remembered into its states."""
        batch.records = [(partition, self._followed(partition, record, batch)) for partition, record in batch.records]
        for partition, stream in batch.states:
            follower = self._of(partition).get(stream)
            batch.states[partition, stream] = follower.dump() if follower else None
        for partition, stream in batch.forgotten:
            if self._of(partition).pop(stream, None) is not None:
                batch.states[partition, stream] = None  # nobody asks for it any more: compaction may drop it

    def _followed(self, partition: Partition, record: Detection, batch: Batch) -> Detection:
        followers, stream = self._of(partition), record.stream
        follower = followers.get(stream)
        if isinstance(record, Gap) or not (_is_tracked(record) or _is_followed(follower, record)):
            return record
        # Made once, behind the batch's last frame. It stays when a run is over, for the sake of its last event.
        batch.states[partition, stream] = None
        events: list[Event] = []
        if isinstance(record, Result) and record.candidates is not None:
            if follower is None or follower.epoch != record.id.epoch:
                events = follower.finish() if follower else []
                before, follower = follower, Follower.begin(record, self._low_score, self.classes)
                follower.last_event = before.last_event if before else ZERO
                followers[stream] = follower
            record, happened = follower.follow(record, self._places(stream), self.classes)
            events += happened
        elif follower:
            events = follower.rest(self._low_score, self.classes)
            if isinstance(record, Result) and follower.epoch != record.id.epoch:
                followers.pop(stream)  # its numbers are of no use any more
        batch.events += [(partition, event) for event in events]
        return record

    def _of(self, partition: Partition) -> dict[str, Follower]:
        with self._lock:
            # One that was just given up has none: its batch can't be committed any more.
            return self._partitions.get(partition, {})


def _is_followed(follower: Follower | None, record: Detection) -> bool:
    return follower is not None and not (follower.rests and follower.epoch == record.id.epoch)


def _is_tracked(record: Detection) -> bool:
    return isinstance(record, Result) and record.candidates is not None


def _named(one: DetectedObject, track: Tracked, classes: Sequence[str]) -> DetectedObject:
    info = one.info if track.confirmed else {**one.info, "track": "tentative"}
    return replace(one, id=str(track.id), type=classes[track.kind], info=info)


def _detections(objects: Sequence[DetectedObject], classes: Sequence[str]) -> Detections:
    boxes = [(o.bbox.left, o.bbox.top, o.bbox.right, o.bbox.bottom) for o in objects]
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array([o.confidence for o in objects], np.float32),
        np.array([classes.index(o.type) for o in objects], np.int64),
    )
