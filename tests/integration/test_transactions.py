"""How a batch of results is sent, through kafka-python's inside, so that a release that changes it shows."""

from collections.abc import Iterator

import pytest
from kafka.producer.kafka import KafkaProducer

from streamer.broker import commit_transaction, connect_producer, together
from streamer.settings import Settings
from streamer.topics import topic_names

PARTITIONS = range(4)


@pytest.fixture
def producer(settings: Settings) -> Iterator[KafkaProducer]:
    name = f"{settings.kafka.topic_prefix}writer"
    producer = connect_producer(settings.kafka, transactional_id=name, retry_backoff_ms=2)
    producer.init_transactions()
    yield producer
    producer.close()


@pytest.fixture
def wakings(producer: KafkaProducer, monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """One for each time that the client's thread was woken."""
    counted, wake = list[None](), producer._sender._client.wakeup
    monkeypatch.setattr(producer._sender._client, "wakeup", lambda: (counted.append(None), wake()))
    return counted


def test_records_that_are_sent_together_wake_the_client_once(
    settings: Settings, producer: KafkaProducer, wakings: list[None]
) -> None:
    topic = topic_names(settings.kafka).detections
    assert producer.partitions_for(topic) >= set(PARTITIONS)
    producer.begin_transaction()
    wakings.clear()
    with together(producer):
        futures = [producer.send(topic, b"value", partition=number) for number in PARTITIONS]
        assert not wakings
    assert len(wakings) == 1
    assert [future.get(timeout=10).partition for future in futures] == list(PARTITIONS)
    commit_transaction(producer, timeout_s=10)


def test_an_error_within_leaves_the_producer_as_it_was(settings: Settings, producer: KafkaProducer) -> None:
    producer.begin_transaction()
    with pytest.raises(ZeroDivisionError), together(producer):
        1 / 0  # noqa: B018
    producer.send(topic_names(settings.kafka).detections, b"value", partition=0).get(timeout=10)
    commit_transaction(producer, timeout_s=10)
