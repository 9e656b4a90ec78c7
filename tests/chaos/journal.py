"""The test's own account of what was acknowledged: topic `frames`, noted as it grows.

What is on the log was acknowledged, or might have been; what was acknowledged and isn't there, `acknowledged` finds.
"""

import threading
from collections import defaultdict
from collections.abc import Iterable
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any

from kafka import TopicPartition

from tests.chaos.logs import consumer_of


@dataclass(frozen=True, slots=True)
class Frame:
    """A record of topic `frames`.

    sequence: of an end, how many frames its run had. partition, offset: where it is. timestamp_ms: Kafka's, in ms since
    1970. time: the same as its header says it. size: of the source's picture, width and height; of an end: none.
    """

    stream: str
    epoch: int
    sequence: int
    is_end: bool = False
    partition: int = 0
    offset: int = 0
    timestamp_ms: int = 0
    time: str = ""
    size: tuple[int, int] = (0, 0)


class Journal(threading.Thread):
    """Notes what is on topic `frames`, as it comes: retention may take it away later, a crash must not."""

    def __init__(self, brokers: str, topic: str) -> None:
        super().__init__(name="journal", daemon=True)
        self._brokers, self._topic = brokers, topic
        self._stopping = threading.Event()
        self._frames: dict[str, list[Frame]] = defaultdict(list)
        self._strangers: list[tuple[int, int]] = []
        self._positions: dict[TopicPartition, int] = {}
        self._lock = threading.Lock()

    def run(self) -> None:
        """Until stopped."""
        with closing(consumer_of(self._brokers, self._topic)) as consumer:
            while not self._stopping.is_set():
                polled = consumer.poll(timeout_ms=100)
                with self._lock:
                    for records in polled.values():
                        self._note(records)
                    self._positions = {where: consumer.position(where) for where in consumer.assignment()}

    def _note(self, records: Iterable[Any]) -> None:
        for record in records:
            frame = frame_of(record.key, record.headers, record.partition, record.offset, record.timestamp)
            if frame is None:
                self._strangers.append((record.partition, record.offset))
            else:
                self._frames[frame.stream].append(frame)

    @property
    def frames(self) -> dict[str, list[Frame]]:
        """By stream, in the order of the log."""
        with self._lock:
            return {stream: list(frames) for stream, frames in self._frames.items()}

    @property
    def strangers(self) -> list[tuple[int, int]]:
        """Partitions and offsets of records that are no producer's."""
        with self._lock:
            return list(self._strangers)

    def kept(self) -> dict[int, int]:
        """The first offset that is still there, by partition."""
        with closing(consumer_of(self._brokers, self._topic)) as consumer:
            beginnings = consumer.beginning_offsets(list(consumer.assignment()))
        return {where.partition: offset for where, offset in beginnings.items()}

    def has_read_all(self) -> bool:
        """Whether nothing is on the topic that is not noted."""
        with closing(consumer_of(self._brokers, self._topic)) as consumer:
            ends = consumer.end_offsets(list(consumer.assignment()))
        with self._lock:
            return all(self._positions.get(where, 0) >= end for where, end in ends.items())

    def stop(self) -> None:
        """And wait."""
        self._stopping.set()
        self.join()


def frame_of(
    key: bytes | None, headers: Iterable[tuple[str, bytes]], partition: int = 0, offset: int = 0, timestamp_ms: int = 0
) -> Frame | None:
    """The frame, or end of a run, that a record of `frames` is by its headers; None: somebody else's."""
    said = dict(headers)
    kind = said.get("ce_type", b"").decode(errors="replace")
    if key is None or kind not in ("streamer.frame.v1", "streamer.end.v1"):
        return None
    is_end = kind == "streamer.end.v1"
    with suppress(KeyError, ValueError):
        name, epoch, sequence, time = key.decode(), int(said["ce_epoch"]), int(said["ce_sequence"]), said["ce_time"]
        size = (0, 0) if is_end else (int(said["ce_sourcewidth"]), int(said["ce_sourceheight"]))
        if epoch > 0 and sequence >= 0:
            return Frame(name, epoch, sequence, is_end, partition, offset, timestamp_ms, time.decode(), size)
    return None
