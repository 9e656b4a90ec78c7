"""The committed records of one partition of `detections` and `events`, from a while ago to their ends."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from consumers.entry import Row
from streamer.broker import LITTLE_AT_ONCE, connect_consumer, offsets_since, poll
from streamer.errors import RecordError
from streamer.records import Detection, Event, parse_detection
from streamer.settings import Settings
from streamer.topics import topic_names

if TYPE_CHECKING:
    from kafka import KafkaConsumer, TopicPartition

    Ends = dict[TopicPartition, int]


class LogTail:
    """Connects on the first read. Belongs to one thread."""

    def __init__(self, settings: Settings, partition: int, age_s: float) -> None:
        self._settings, self.partition, self._age_s = settings, partition, age_s
        names = topic_names(settings.kafka)
        self._parsers: dict[str, Callable[[bytes], Detection | Event]] = {
            names.detections: parse_detection,
            names.events: Event.from_json,
        }
        self._consumer: KafkaConsumer | None = None

    def close(self) -> None:
        """Ends the connection."""
        if self._consumer is not None:
            self._consumer.close()

    def read(self) -> list[Row]:
        """The next records, those of one topic in order; empty after a short wait if there are none."""
        consumer = self._open()
        found: list[Row] = []
        for where, records in poll(consumer, 100).items():
            for record in records:
                try:
                    parsed = self._parsers[where.topic](record.value or b"")
                except RecordError:
                    continue  # a stranger's: readers skip it too
                found.append(Row(self.partition, parsed, record.value, record.timestamp))
        return found

    def written(self) -> "Ends":
        """Where the logs end now, with what is not decided yet: the ends that readers are given are before that."""
        assigned = self._open().assignment()
        undecided = connect_consumer(self._settings.kafka, isolation_level="read_uncommitted")
        try:
            ends: Ends = undecided.end_offsets(assigned)
            return ends
        finally:
            undecided.close()

    def has_read(self, ends: "Ends") -> bool:
        """Whether everything before these ends has been read, which it can be once it is decided."""
        consumer = self._open()
        # The position, not the records: transactions end with a mark, and those that were given up are stepped over.
        return all(consumer.position(where) >= end for where, end in ends.items())

    def _open(self) -> "KafkaConsumer":
        from kafka import TopicPartition

        if self._consumer is None:
            self._consumer = connect_consumer(self._settings.kafka, **LITTLE_AT_ONCE)
            both = [TopicPartition(topic, self.partition) for topic in self._parsers]
            self._consumer.assign(both)
            for where, offset in offsets_since(self._consumer, both, time.time() - self._age_s).items():
                self._consumer.seek(where, offset)
        return self._consumer
