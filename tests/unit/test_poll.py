"""A poll of what a broker's answers hold, read by kafka-python's own fetcher."""

from types import SimpleNamespace
from typing import Any

import pytest
from kafka import TopicPartition
from kafka.consumer.fetcher import CompletedFetch, ConsumerRecord, Fetcher
from kafka.consumer.subscription_state import SubscriptionState
from kafka.errors import CorruptRecordError

from streamer.broker import poll

FIRST, SECOND = (TopicPartition("frames", number) for number in range(2))
FETCH_VERSION = 12


class Consumer:
    """As much of a KafkaConsumer as a poll needs; both partitions are read from their beginning."""

    def __init__(self) -> None:
        self._subscription = SubscriptionState()
        self._subscription.assign_from_user([FIRST, SECOND])
        for partition in (FIRST, SECOND):
            self.seek(partition, 0)
        self._fetcher = Fetcher(SimpleNamespace(_manager=SimpleNamespace(_net=None)), self._subscription)

    def answer(self, partition: TopicPartition, records: bytes = b"", error_code: int = 0) -> None:
        """What a broker sends of a partition."""
        data = SimpleNamespace(
            records=records,
            error_code=error_code,
            high_watermark=1,
            diverging_epoch=None,
            aborted_transactions=None,
            preferred_read_replica=-1,
        )
        self._fetcher._completed_fetches.append(
            CompletedFetch(partition, self.position(partition), FETCH_VERSION, data, None)
        )

    def position(self, partition: TopicPartition) -> int:
        return int(self._subscription.position(partition).offset)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self._subscription.seek(partition, offset)

    def poll(self, timeout_ms: int, **options: Any) -> dict[TopicPartition, list[ConsumerRecord]]:
        polled, _ = self._fetcher.fetched_records(**options)
        return dict(polled)


def test_nothing_is_stepped_over_in_a_partition_that_was_read_before_another_s_error() -> None:
    consumer = Consumer()
    consumer.answer(FIRST)
    consumer.answer(SECOND, error_code=CorruptRecordError.errno)
    with pytest.raises(CorruptRecordError):
        poll(consumer, 0)
    assert (consumer.position(FIRST), consumer.position(SECOND)) == (0, 0)
