"""What a successor is told of streams, against a real Kafka."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from kafka.errors import KafkaError, KafkaTimeoutError

from consumers.state import StateReader, state_key
from streamer.broker import connect_producer
from streamer.settings import Settings
from streamer.topics import topic_names

Begin = Callable[[str, bytes | None], Callable[[], None]]


@pytest.fixture
def begin(settings: Settings) -> Iterator[Begin]:
    """Writes a stream's state in a transaction of its own; returns what commits it."""
    producers = []

    def write(stream: str, state: bytes | None) -> Callable[[], None]:
        name = f"{settings.kafka.topic_prefix}writer{len(producers)}"
        producer = connect_producer(settings.kafka, transactional_id=name, retry_backoff_ms=2)
        producers.append(producer)
        producer.init_transactions()
        producer.begin_transaction()
        key = state_key(settings.detect.pipeline, stream)
        producer.send(topic_names(settings.kafka).state, state, key, partition=0).get(timeout=10)
        return lambda: producer.commit_transaction()

    yield write
    for producer in producers:
        producer.close()


def load(settings: Settings, *streams: str) -> dict[str, bytes]:
    with closing(StateReader(settings, threading.Event())) as reader:
        return reader.load(0, streams)


def test_the_newest_state_of_each_stream_that_has_one(settings: Settings, begin: Begin) -> None:
    for stream, state in (("a", b"1"), ("b", b"1"), ("a", b"2"), ("gone", b"1"), ("gone", None)):
        begin(stream, state)()
    assert load(settings, "a", "b", "gone", "never") == {"a": b"2", "b": b"1"}


def test_a_transaction_that_has_not_ended_is_waited_for(settings: Settings, begin: Begin) -> None:
    """As when the last owner's offsets have the mark of its transaction already, and its states not yet."""
    begin("a", b"1")()
    commit = begin("a", b"2")
    threading.Timer(0.5, commit).start()
    assert load(settings, "a") == {"a": b"2"}


def test_a_transaction_that_does_not_end_is_an_error(
    settings: Settings, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consumers.state._DECIDED_S", 0.2)
    commit = begin("a", b"1")
    with pytest.raises(KafkaTimeoutError, match="not over after"):
        load(settings, "a")
    commit()
    assert load(settings, "a") == {"a": b"1"}


def test_a_broker_that_dies_before_the_states_are_read_is_an_error(
    settings: Settings, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin("a", b"1")()
    with monkeypatch.context() as away:
        away.setattr("consumers.state._STUCK_S", 0.2)
        away.setattr("consumers.state.poll", lambda *_: {})
        with pytest.raises(KafkaTimeoutError, match="gives no records"):
            load(settings, "a")
    assert load(settings, "a") == {"a": b"1"}


@pytest.mark.parametrize("decided", [True, False])
def test_who_is_told_to_stop_does_not_wait(
    settings: Settings, begin: Begin, monkeypatch: pytest.MonkeyPatch, decided: bool
) -> None:
    """Neither for a broker that is away nor for a transaction."""
    monkeypatch.setattr("consumers.state._STUCK_S", 3600)
    monkeypatch.setattr("consumers.state._DECIDED_S", 3600)
    stopping = threading.Event()
    commit = begin("a", b"1")
    if decided:
        commit()
        monkeypatch.setattr("consumers.state.poll", lambda *_: stopping.set() or {})
    else:
        threading.Timer(0.2, stopping.set).start()
    with closing(StateReader(settings, stopping)) as reader, pytest.raises(KafkaError, match="told to stop"):
        reader.load(0, ["a"])
    if not decided:
        commit()
