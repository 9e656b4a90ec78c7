"""What the compacted topics `streams` and `pipelines` say now: read from the beginning, then followed."""

import logging
import time
from collections.abc import Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Generic, TypeVar

from pydantic import BaseModel

from streamer.broker import (
    abandon,
    assign_from_beginning,
    connect_consumer,
    connect_producer,
    kafka_error,
    poll,
    topic_missing,
)
from streamer.errors import ServiceError, UsageError
from streamer.records.stream import PipelineDefinition, StreamDefinition, parse_definition
from streamer.settings import KafkaSettings
from streamer.topics import topic_names

if TYPE_CHECKING:
    from kafka import KafkaConsumer, TopicPartition

T = TypeVar("T", bound=BaseModel)
log = logging.getLogger(__name__)


class Catalog(Generic[T]):
    """The newest definition per key of one compacted topic. Belongs to one thread.

    A definition that can't be read is in `broken` with the reason and no longer in `definitions`: a stream
    whose masks we can't read must publish nothing rather than go on with what was valid before.
    """

    def __init__(self, kafka: KafkaSettings, topic: str, kind: type[T]) -> None:
        self._kafka, self._topic, self._kind = kafka, topic, kind
        self._consumer: KafkaConsumer | None = None
        self.definitions: dict[str, T] = {}
        self.broken: dict[str, str] = {}

    def open(self, timeout_s: float = 15) -> None:
        """Reads everything that the topic holds now.

        Raises:
            ServiceError: the topic does not exist, is not for us, or can't be read in time.
        """
        from kafka.errors import KafkaError

        # Definitions change rarely: the broker answers when there is one, not ten times a second.
        consumer = connect_consumer(self._kafka, fetch_max_wait_ms=5000)
        self._consumer = consumer
        try:
            self._begin(consumer, timeout_s)
        except KafkaError as error:
            raise kafka_error(self._kafka, error) from error

    def _begin(self, consumer: "KafkaConsumer", timeout_s: float) -> None:
        from kafka import TopicPartition

        numbers = consumer.partitions_for_topic(self._topic)
        if not numbers:
            raise topic_missing(self._kafka, self._topic)
        partitions = [TopicPartition(self._topic, number) for number in sorted(numbers)]
        assign_from_beginning(consumer, partitions)
        self._read_to(consumer.end_offsets(partitions), timeout_s)

    def catch_up(self, timeout_s: float) -> set[str]:
        """Takes in all that is written by now; returns the keys that changed.

        Raises:
            ServiceError: it can't be read in time.
        """
        from kafka.errors import KafkaError

        if self._consumer is None:
            raise RuntimeError("open() comes first")
        try:
            # Of another connection: on ours the broker first answers the read that is under way.
            with closing(connect_consumer(self._kafka)) as asking:
                ends = asking.end_offsets(list(self._consumer.assignment()))
            return self._read_to(ends, timeout_s)
        except KafkaError as error:
            raise kafka_error(self._kafka, error) from error

    def _read_to(self, ends: "Mapping[TopicPartition, int]", timeout_s: float) -> set[str]:
        assert self._consumer is not None
        deadline, changed = time.monotonic() + timeout_s, set[str]()
        while any(self._consumer.position(partition) < end for partition, end in ends.items()):
            if time.monotonic() > deadline:
                raise ServiceError(f"topic {self._topic} could not be read within {timeout_s:g} s")
            changed |= self.refresh(timeout_ms=100)
        return changed

    def refresh(self, timeout_ms: int = 0) -> set[str]:
        """Takes in what is new; returns the keys that changed.

        Raises:
            ServiceError: it can't be read.
        """
        from kafka.errors import KafkaError

        if self._consumer is None:
            raise RuntimeError("open() comes first")
        changed: set[str] = set()
        try:
            polled = poll(self._consumer, timeout_ms)
        except KafkaError as error:
            raise kafka_error(self._kafka, error) from error
        for records in polled.values():
            for record in records:
                key = (record.key or b"").decode(errors="replace")
                changed.add(key)
                self._apply(key, record.value)
        return changed

    def _apply(self, key: str, value: bytes | None) -> None:
        self.definitions.pop(key, None)
        self.broken.pop(key, None)
        if value is None:
            return
        try:
            self.definitions[key] = parse_definition(self._kind, value)
        except UsageError as error:
            self.broken[key] = str(error)
            log.error("definition %s on topic %s can't be used: %s", key, self._topic, error)

    def close(self) -> None:
        """Ends the connection."""
        if self._consumer is not None:
            self._consumer.close()


def stream_catalog(kafka: KafkaSettings) -> Catalog[StreamDefinition]:
    """Which streams exist."""
    return Catalog(kafka, topic_names(kafka).streams, StreamDefinition)


def pipeline_catalog(kafka: KafkaSettings) -> Catalog[PipelineDefinition]:
    """Which pipelines have run, and with what."""
    return Catalog(kafka, topic_names(kafka).pipelines, PipelineDefinition)


def write_definition(kafka: KafkaSettings, topic: str, key: str, value: bytes | None) -> None:
    """Writes one definition (None removes it) and waits until it is stored.

    Raises:
        ServiceError: it could not be stored.
    """
    write_definitions(kafka, topic, {key: value})


def write_definitions(kafka: KafkaSettings, topic: str, definitions: Mapping[str, bytes | None]) -> None:
    """Writes several, all or those before the one that fails.

    Raises:
        ServiceError: one could not be stored.
    """
    from kafka.errors import KafkaError

    producer = connect_producer(kafka, delivery_timeout_ms=20_000, request_timeout_ms=10_000)
    try:
        sent = [producer.send(topic, value=value, key=key.encode()) for key, value in definitions.items()]
        for future in sent:
            future.get(timeout=20)
    except KafkaError as error:
        raise kafka_error(kafka, error) from None
    finally:
        abandon(producer)  # all is stored, or what isn't is not to be sent any more; close() would hide our error
