"""Offsets that are committed outside of transactions: by the poller, whose consumer is not for other threads."""

import logging
import threading
from typing import TYPE_CHECKING

from consumers.entry import Partition
from consumers.ledger import Ledger

if TYPE_CHECKING:
    from kafka import KafkaConsumer

    from streamer.broker import Offsets

    Written = dict[Partition, tuple[int, str]]

log = logging.getLogger(__name__)

_FLUSH_MS = 5_000


class PlainOffsets:
    """What is to be committed, until it is acknowledged. `add` from any thread, what asks Kafka from the poller's."""

    def __init__(self, topic: str, ledger: Ledger) -> None:
        self._topic, self._ledger = topic, ledger
        self._waiting: Written = {}
        self._came = False  # some that no request was made for
        self._refused = False  # the last request failed
        self._lock = threading.Lock()

    def add(self, offsets: "Written") -> None:
        """Offsets and their metadata."""
        with self._lock:
            for number, written in offsets.items():
                # Of a partition that was given up meanwhile they are its next owner's to commit; not of one that is
                # being given up.
                if self._ledger.committed_offset(number) is not None:
                    self._waiting[number] = written
            self._came = True

    @property
    def is_empty(self) -> bool:
        """Whether all are acknowledged."""
        with self._lock:
            return not self._waiting

    def commit(self, consumer: "KafkaConsumer") -> None:
        """Commits what has come; doesn't wait for the broker's answer."""
        with self._lock:
            came, self._came = self._came, False
            offsets = self.for_kafka(self._waiting)
        if came and offsets:
            consumer.commit_async(offsets, self._acknowledged)

    def flush(self, consumer: "KafkaConsumer") -> None:
        """Waits for the answer.

        Raises:
            KafkaError: they could not be committed.
        """
        with self._lock:
            offsets = self.for_kafka(self._waiting)
        if offsets:
            consumer.commit(offsets, timeout_ms=_FLUSH_MS)
            self._acknowledged(offsets, None)

    def withdraw(self, partitions: set[Partition]) -> "Written":
        """Those of partitions that are given up: perhaps not committed yet."""
        with self._lock:
            return {number: self._waiting.pop(number) for number in partitions & self._waiting.keys()}

    def for_kafka(self, written: "Written") -> "Offsets":
        """As kafka-python takes them."""
        from kafka import TopicPartition
        from kafka.structs import OffsetAndMetadata

        return {
            TopicPartition(self._topic, number): OffsetAndMetadata(offset, metadata, -1)
            for number, (offset, metadata) in written.items()
        }

    def _acknowledged(self, offsets: "Offsets", answer: object) -> None:
        with self._lock:
            refused, self._refused = self._refused, isinstance(answer, Exception)
            if self._refused:
                if not refused:  # said once: an outage has a failure per poll
                    log.warning("offsets are not committed yet: %s", answer)
                self._came = True  # tried again, with what has come since
                return
            for partition, written in offsets.items():
                if self._waiting.get(partition.partition) == (written.offset, written.metadata):
                    del self._waiting[partition.partition]
