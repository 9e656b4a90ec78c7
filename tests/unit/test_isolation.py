"""Partitions that are not read while suspect frames are begun apart: they are read again, whatever comes between."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaConnectionError

from consumers.ledger import Ledger
from consumers.poison.attempts import Attempt
from consumers.poison.isolation import Isolation
from consumers.positions import Positions
from streamer.group import answer_group
from streamer.settings import DetectSettings

SUSPECT, OTHER = (TopicPartition("frames", number) for number in range(2))


class Consumer:
    """What is paused stays paused, as in kafka-python, also if the same member is given the partition again."""

    def __init__(self) -> None:
        self.pauses: set[TopicPartition] = set()

    def assignment(self) -> set[TopicPartition]:
        return {SUSPECT, OTHER}

    def paused(self) -> set[TopicPartition]:
        return set(self.pauses)

    def pause(self, partition: TopicPartition) -> None:
        self.pauses.add(partition)

    def resume(self, partition: TopicPartition) -> None:
        self.pauses.discard(partition)

    def position(self, partition: TopicPartition) -> int:
        return 5

    def group_metadata(self) -> Any:
        return SimpleNamespace(generation_id=1)


@pytest.fixture
def consumer() -> KafkaConsumer:
    return cast(KafkaConsumer, Consumer())


@pytest.fixture
def polled(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    """Says what a poll brings, or raises."""

    def bring(what: Any) -> None:
        def poll(*_: Any, **__: Any) -> Any:
            if isinstance(what, Exception):
                raise what
            return what

        monkeypatch.setattr("consumers.poison.isolation.poll_group", poll)
        monkeypatch.setattr("streamer.group.poll_group", poll)

    bring({})
    return bring


@pytest.fixture
def isolation() -> Isolation:
    ledger = Ledger("main")
    for partition in (SUSPECT, OTHER):
        ledger.open(partition.partition, Positions({}), 5)
    return Isolation(DetectSettings(), ledger, lambda *_: None, lambda *_: None, lambda: None)


def test_others_wait_until_the_suspects_are_through(
    isolation: Isolation, consumer: KafkaConsumer, polled: Callable[[Any], None]
) -> None:
    isolation.opened(SUSPECT, Attempt(7))
    isolation.step(consumer, 0)
    assert isolation.active
    assert consumer.paused() == {OTHER}


def test_a_partition_that_comes_again_without_suspects_leaves_none_unread(
    isolation: Isolation, consumer: KafkaConsumer, polled: Callable[[Any], None]
) -> None:
    isolation.opened(SUSPECT, Attempt(7))
    isolation.step(consumer, 0)
    isolation.opened(SUSPECT, None)
    while isolation.active:
        isolation.step(consumer, 0)
    assert consumer.paused() == set()


def test_a_poll_that_fails_leaves_none_unread(
    isolation: Isolation, consumer: KafkaConsumer, polled: Callable[[Any], None]
) -> None:
    polled(KafkaConnectionError())
    with pytest.raises(KafkaConnectionError):
        answer_group(consumer)
    assert consumer.paused() == set()
    isolation.opened(SUSPECT, Attempt(5))
    with pytest.raises(KafkaConnectionError):
        isolation.step(consumer, 0)
    polled({})
    while isolation.active:
        isolation.step(consumer, 0)
    assert consumer.paused() == set()
