"""Streams whose last frames can't be read: they wait, ever more patiently, or end the process where that is no use.
Streams that are given up while Kafka takes nothing.
"""

import logging
import re
import threading
from collections.abc import Callable, Iterator
from typing import cast
from unittest.mock import Mock

import pytest
from kafka.errors import KafkaConnectionError, TopicAuthorizationFailedError

from producers.assignment import Defined
from producers.serving import Serving
from streamer.broker import kafka_error
from streamer.errors import ServiceError
from streamer.lifecycle import Deadline
from streamer.settings import KafkaSettings, Settings
from tests.clips import definition
from tests.waiting import eventually

WANTED = {"test": Defined(definition("synthetic:"), 1)}
TICK_S = 0.5


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr("streamer.retry.time", Mock(monotonic=lambda: now[0]))
    return now


def failing(error: Exception) -> Callable[..., object]:
    def find(*_: object) -> object:
        raise kafka_error(KafkaSettings(), error) from error

    return find


def test_streams_wait_longer_and_longer_while_their_last_frames_can_t_be_read(
    clock: list[float], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("producers.serving.find_positions", failing(KafkaConnectionError("no answer")))
    serving = Serving(Settings(), Mock(), Mock())
    caplog.set_level(logging.WARNING)
    for _ in range(240):  # two minutes
        serving.apply(WANTED)
        clock[0] += TICK_S
    waits = [float(found) for found in re.findall(r"streams wait (\S+) s, .*: no answer", caplog.text)]
    assert 6 <= len(waits) <= 16
    assert waits[0] <= 1 < 10 < waits[-1] <= 30


def test_a_missing_right_to_the_frames_ends_it(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("producers.serving.find_positions", failing(TopicAuthorizationFailedError("frames")))
    with pytest.raises(ServiceError, match="no right to topic frames: grant Describe, and Read or Write"):
        Serving(Settings(), Mock(), Mock()).apply(WANTED)


def test_networks_sizes_that_can_t_be_read_are_asked_for_less_and_less_often(
    clock: list[float], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sizes = Mock()
    sizes.refresh.side_effect = ServiceError("topic pipelines does not exist")
    serving = Serving(Settings(), Mock(), sizes)
    for _ in range(240):
        serving.apply({})
        clock[0] += TICK_S
    assert 6 <= sizes.refresh.call_count <= 16
    sizes.refresh.side_effect = None
    clock[0] += 30
    for _ in range(4):  # at every look again
        sizes.refresh.reset_mock()
        serving.apply({})
        sizes.refresh.assert_called_once()


class StuckLane(Mock):
    """Frames are put, and acknowledged once `taken` is set."""

    taken: threading.Event
    deadline: Deadline | None

    def stamp(self, captured_ms: int) -> int:
        return captured_ms

    def flush(self, deadline: Deadline | None = None) -> bool:
        self.deadline = deadline
        return deadline is not None and self.taken.wait(deadline.remaining())


@pytest.fixture
def lane() -> Iterator[StuckLane]:
    lane = StuckLane(taken=threading.Event(), records=0)
    yield lane
    lane.taken.set()


def serving_one(lane: StuckLane, monkeypatch: pytest.MonkeyPatch) -> Serving:
    """With its camera open and frames on their way."""
    monkeypatch.setattr("producers.serving.find_positions", lambda *_: {})
    publisher, sizes = Mock(), Mock()
    publisher.lane.return_value = lane
    sizes.of.return_value = None
    serving = Serving(Settings.model_validate({"kafka": {"session_timeout_ms": 1000}}), publisher, sizes)
    serving.apply(WANTED)
    eventually(lambda: lane.put.called, "a frame is put")
    return serving


def publisher_of(serving: Serving) -> Mock:
    return cast(Mock, serving._publisher)


def test_a_stream_is_given_up_before_the_session_ends_whatever_kafka_has_taken(
    lane: StuckLane, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    serving = serving_one(lane, monkeypatch)
    runner = serving.runners["test"]
    serving.leave(["test"])
    assert runner.closed
    # Its frames have seconds more than the session.
    eventually(lambda: lane.deadline, "they are waited for")
    assert lane.deadline
    assert not lane.deadline.passed
    assert serving.runners == {}
    assert "Kafka has not taken its last frames yet" in caplog.text
    lane.taken.set()
    eventually(lambda: runner.over, "they are taken")


def test_a_stream_that_was_given_up_is_not_ours_any_more_whoever_else_is(
    lane: StuckLane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames that are still on their way must not begin a run: another has the stream by now."""
    serving = serving_one(lane, monkeypatch)
    ours = publisher_of(serving).lane.call_args.kwargs["ours"]
    assert ours()
    serving.leave(["test"])
    assert not ours()
    serving.apply(WANTED)
    assert not ours(), "not this runner's"
    assert publisher_of(serving).lane.call_args.kwargs["ours"]()
    lane.taken.set()
    serving.stop(Deadline(60))


def test_the_last_frames_of_streams_given_up_are_waited_for_at_the_end(
    lane: StuckLane, monkeypatch: pytest.MonkeyPatch
) -> None:
    class TakenMeanwhile(Deadline):
        def remaining(self) -> float:
            lane.taken.set()
            return super().remaining()

    serving = serving_one(lane, monkeypatch)
    runner = serving.runners["test"]
    serving.leave(["test"])
    serving.stop(TakenMeanwhile(60))
    assert runner.over
