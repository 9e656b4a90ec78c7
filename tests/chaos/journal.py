"""The test's own account of what was acknowledged: topic `frames`, noted as it grows."""

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
    """A record of topic `frames`. sequence: of an end, how many frames its run had."""

    stream: str
    epoch: int
    sequence: int
    is_end: bool = False


class Journal(threading.Thread):
    """Notes what is on topic `frames`, as it comes: retention may take it away later, a crash must not."""

    def __init__(self, brokers: str, topic: str) -> None:
        super().__init__(name="journal", daemon=True)
        self._brokers, self._topic = brokers, topic
        self._stopping = threading.Event()
        self._frames: dict[str, list[Frame]] = defaultdict(list)
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
        for frame in filter(None, (frame_of(record.key, record.headers) for record in records)):
            self._frames[frame.stream].append(frame)

    @property
    def frames(self) -> dict[str, list[Frame]]:
        """By stream, in the order of the log."""
        with self._lock:
            return {stream: list(frames) for stream, frames in self._frames.items()}

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


def frame_of(key: bytes | None, headers: Iterable[tuple[str, bytes]]) -> Frame | None:
    """The frame, or end of a run, that a record of `frames` is by its headers; None: somebody else's."""
    said = dict(headers)
    kind = said.get("ce_type", b"").decode(errors="replace")
    if key is None or kind not in ("streamer.frame.v1", "streamer.end.v1"):
        return None
    with suppress(KeyError, ValueError):
        return Frame(key.decode(), int(said["ce_epoch"]), int(said["ce_sequence"]), kind == "streamer.end.v1")
    return None
