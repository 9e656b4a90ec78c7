"""What a stream's frames mean together: tracks. Between order and commit: frames come here once, in order.

What is known of a stream is written to topic `state` in the same transaction as the results that it was made of, so
who takes the stream over goes on exactly behind them, and nothing has to be worked out again.
"""

import logging
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np
import orjson

from consumers.entry import Batch, Partition
from consumers.tracking.settings import TrackingSettings
from consumers.tracking.tracker import Tracker
from engines.detections import Detections
from streamer.errors import RecordError
from streamer.records import DetectedObject, Detection, End, Result

log = logging.getLogger(__name__)

_VERSION = 1


class Follower:
    """Follows the objects of one stream through one epoch."""

    def __init__(self, epoch: int, tracker: Tracker, by_source: bool, ahead_s: float = 0.0) -> None:
        self.epoch = epoch
        self._tracker, self._by_source, self._ahead_s = tracker, by_source, ahead_s

    @classmethod
    def begin(cls, result: Result, settings: TrackingSettings, classes: Sequence[str]) -> Self:
        """At the first frame of an epoch."""
        # A camera's own time is known a few seconds after it was opened: time must not jump then, so it's left alone.
        return cls(result.id.epoch, Tracker(settings, classes), result.source_time is not None)

    def follow(self, result: Result, classes: Sequence[str]) -> Result:
        """The result with the objects' tracks: their ids, and the class that each has had all along."""
        assert result.candidates is not None
        everything = (*result.objects, *result.candidates)
        tracked = {t.detection: t for t in self._tracker.update(self._seconds(result), _detections(everything, classes))}
        objects = []
        for index, one in enumerate(result.objects):
            track = tracked.get(index)
            if track is not None:
                info = one.info if track.confirmed else {**one.info, "track": "tentative"}
                one = replace(one, id=str(track.id), type=classes[track.kind], info=info)
            objects.append(one)
        return replace(result, objects=tuple(objects))

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
                "bySource": self._by_source,
                "ahead": self._ahead_s,
                "tracker": self._tracker.dump(),
            }
        )

    @classmethod
    def load(cls, state: bytes, settings: TrackingSettings, classes: Sequence[str]) -> Self:
        """The reverse.

        Raises:
            RecordError: it is damaged, of another version, or of a model with other classes.
        """
        try:
            record: Any = orjson.loads(state)
            if record["version"] != _VERSION:
                raise RecordError(f"version {record['version']!r}, not {_VERSION}")
            tracker = Tracker.load(record["tracker"], settings, classes)
            return cls(int(record["epoch"]), tracker, bool(record["bySource"]), float(record["ahead"]))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise RecordError(f"not a state: {error!r:.200}") from None


class Followers:
    """Those of all streams of this worker's partitions. `open` and `forget` from any thread, `follow` from one.

    classes: the model's class names; to be set before anything is followed.
    """

    def __init__(self, settings: TrackingSettings) -> None:
        self._settings = settings
        self.classes: Sequence[str] = ()
        self._partitions: dict[Partition, dict[str, Follower]] = {}
        self._lock = threading.Lock()

    def open(self, partition: Partition, states: Mapping[str, bytes]) -> None:
        """Takes a partition over, with the states that were committed with its last results."""
        followers: dict[str, Follower] = {}
        for stream, state in states.items():
            try:
                followers[stream] = Follower.load(state, self._settings, self.classes)
            except RecordError as error:
                log.warning("stream %s: its tracks begin anew: %s", stream, error)
        with self._lock:
            self._partitions[partition] = followers

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

    def _followed(self, partition: Partition, record: Detection, batch: Batch) -> Detection:
        followers = self._of(partition)
        stream = record.stream
        if isinstance(record, End) or (isinstance(record, Result) and record.candidates is None):
            if followers.pop(stream, None) is not None:
                batch.states[partition, stream] = None
            return record
        if not isinstance(record, Result):
            return record
        follower = followers.get(stream)
        if follower is None or follower.epoch != record.id.epoch:
            follower = followers[stream] = Follower.begin(record, self._settings, self.classes)
        batch.states[partition, stream] = None  # made once, behind the batch's last frame
        return follower.follow(record, self.classes)

    def _of(self, partition: Partition) -> dict[str, Follower]:
        with self._lock:
            # One that was just given up has none: its batch can't be committed any more.
            return self._partitions.get(partition, {})


def _detections(objects: Sequence[DetectedObject], classes: Sequence[str]) -> Detections:
    boxes = [(o.bbox.left, o.bbox.top, o.bbox.right, o.bbox.bottom) for o in objects]
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array([o.confidence for o in objects], np.float32),
        np.array([classes.index(o.type) for o in objects], np.int64),
    )
