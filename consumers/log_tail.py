"""The committed records of one partition of `detections`, from a while ago to its end."""

import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from consumers.entry import Row
from streamer.broker import connect_consumer
from streamer.errors import RecordError
from streamer.records import parse_detection
from streamer.settings import Settings
from streamer.topics import topic_names

if TYPE_CHECKING:
    from kafka import KafkaConsumer


class LogTail:
    """Connects on the first read. Belongs to one thread."""

    def __init__(self, settings: Settings, partition: int, age_s: float) -> None:
        self._settings, self.partition, self._age_s = settings, partition, age_s
        self._consumer: KafkaConsumer | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._consumer is not None:
            self._consumer.close()

    def read(self) -> list[Row]:
        """The next records; empty after a short wait if there are none."""
        consumer = self._open()
        found: list[Row] = []
        for records in consumer.poll(timeout_ms=100).values():
            for record in records:
                try:
                    found.append(Row(self.partition, parse_detection(record.value or b""), record.value))
                except RecordError:
                    continue  # a stranger's: readers skip it too
        return found

    def at_end(self) -> bool:
        """Whether everything that is committed has been read."""
        consumer = self._open()
        partition = next(iter(consumer.assignment()))
        end: int = consumer.end_offsets([partition])[partition]
        return bool(consumer.position(partition) >= end)

    def _open(self) -> "KafkaConsumer":
        from kafka import TopicPartition

        if self._consumer is None:
            self._consumer = connect_consumer(self._settings.kafka)
            partition = TopicPartition(topic_names(self._settings.kafka).detections, self.partition)
            self._consumer.assign([partition])
            since_ms = round((time.time() - self._age_s) * 1000)
            start = self._consumer.offsets_for_times({partition: since_ms})[partition]
            end = self._consumer.end_offsets([partition])[partition]
            self._consumer.seek(partition, start.offset if start else end)
        return self._consumer
