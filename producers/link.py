"""One kafka-python producer, and what its public interface can't do: stop at once, change linger, wake seldom.

kafka-python is pinned below 4; tests/integration/test_publisher.py fails if its inside changes under us.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from streamer.broker import abandon, connect_producer, topic_missing
from streamer.errors import ServiceError
from streamer.records.frame import Headers
from streamer.settings import Settings
from streamer.topics import CODE_SPACE, topic_names

if TYPE_CHECKING:
    from kafka import KafkaProducer
    from kafka.producer.future import RecordMetadata

BATCH_BYTES = 1 << 20
RETRY_BACKOFF_MS = 50


class Link:
    """A connected idempotent producer for topic `frames`. Once fenced it never sends again."""

    def __init__(self, producer: "KafkaProducer", topic: str) -> None:
        self._producer, self._topic = producer, topic
        self._wake_sender = producer._sender.wakeup
        producer._sender.wakeup = self._wake_if_needed

    @property
    def partitions(self) -> frozenset[int]:
        """The partitions of `frames`."""
        return frozenset(self._producer.partitions_for(self._topic))

    def send(
        self,
        partition: int,
        key: bytes,
        value: bytes | None,
        headers: Headers,
        timestamp_ms: int,
        acknowledged: "Callable[[RecordMetadata], None]",
        failed: Callable[[Exception], None],
    ) -> None:
        """Hands one record over; does not wait. The callbacks come from the producer's own thread.

        Raises:
            KafkaError: the producer is fenced or knows no such partition any more.
        """
        future = self._producer.send(
            self._topic, value=value, key=key, headers=headers, partition=partition, timestamp_ms=timestamp_ms
        )
        future.add_callback(acknowledged)
        future.add_errback(failed)

    def set_linger(self, milliseconds: int) -> None:
        """How long a batch waits for more records, from its next check on."""
        self._producer._accumulator.config["linger_ms"] = milliseconds

    def _wake_if_needed(self) -> None:
        """Instead of the client's own, which wakes its thread for every new batch of a partition.

        Where the batch of another partition lingers, the thread is awake or will be when that time is over, and then
        sends all that it has for a broker: with a stream per partition that is a waking less for most frames.
        """
        accumulator = self._producer._accumulator
        due = time.monotonic() - accumulator.config["linger_ms"] / 1000
        lingering, full = 0, False
        for queue in list(accumulator._batches.values()):
            full |= len(queue) > 1
            with suppress(IndexError):  # empty, or emptied in this moment
                lingering += queue[0].last_attempt > due
        if full or lingering < 2:  # the new one is among them
            self._wake_sender()

    def fence(self) -> None:
        """From now on nothing more is sent; what is not acknowledged fails. From any thread, does not wait.

        Called on the first failure, in the producer's own thread: after a failure kafka-python may take a new
        producer id and send the records *behind* the failed ones, which would put a stream out of order.
        """
        self._producer._sender.force_close()
        self._wake_sender()

    def close(self, timeout_s: float) -> None:
        """Fences, and lets the thread and the connections go."""
        abandon(self._producer, timeout_s)


def connect(settings: Settings, delivery_timeout_s: float, linger_ms: int) -> Link:
    """A new link.

    Raises:
        ServiceError: no broker, no rights, or no topic `frames`.
    """
    from kafka.errors import KafkaError

    topic = topic_names(settings.kafka).frames
    delivery_ms = round(delivery_timeout_s * 1000)
    producer = connect_producer(
        settings.kafka,
        batch_size=BATCH_BYTES,
        linger_ms=linger_ms,
        max_request_size=max(settings.topics.max_record_bytes + CODE_SPACE, 4 * BATCH_BYTES),
        delivery_timeout_ms=delivery_ms,
        request_timeout_ms=min(30_000, delivery_ms // 2),
        retry_backoff_ms=RETRY_BACKOFF_MS,
        max_block_ms=min(10_000, delivery_ms),
    )
    link = Link(producer, topic)
    try:
        if link.partitions:
            return link
    except KafkaError as error:
        link.close(timeout_s=1)
        raise ServiceError(f"topic {topic}: {error}; does it exist? `streamer topics create` makes it") from None
    link.close(timeout_s=1)
    raise topic_missing(settings.kafka, topic)
