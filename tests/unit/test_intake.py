"""What a poll brought is taken in, or comes again, whatever fails on the way."""

import time
from types import SimpleNamespace
from typing import Any, cast

import pytest
from kafka import TopicPartition
from kafka.errors import KafkaConnectionError, KafkaError

from consumers.choose import Chooser
from consumers.follow import Followers
from consumers.intake import Intake
from consumers.ledger import Ledger
from consumers.mirror import Mirror
from consumers.positions import Positions
from consumers.treatment import Treatment, Treatments
from streamer.records import FrameHeader, FrameId
from streamer.settings import Settings

PARTITIONS = [TopicPartition("frames", number) for number in range(3)]
NOW_MS = time.time_ns() // 1_000_000


class Consumer:
    """As much of a KafkaConsumer as is asked for. failing: the questions that Kafka does not answer."""

    def __init__(self, *failing: str, taken_away: bool = False) -> None:
        self._fetcher = SimpleNamespace(config={})
        self._failing, self._taken_away = failing, taken_away
        self.sought: dict[TopicPartition, int] = {}

    def group_metadata(self) -> Any:
        return SimpleNamespace(generation_id=1)

    def highwater(self, partition: TopicPartition) -> int:
        return 1000

    def position(self, partition: TopicPartition) -> int:
        return 15

    def commit(self, offsets: Any, timeout_ms: int) -> None:
        pass

    def seek(self, partition: TopicPartition, offset: int) -> None:
        if self._taken_away:
            raise ValueError("Unassigned partition")
        self.sought[partition] = offset

    def beginning_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, self._answer("beginning_offsets", 10))

    def offsets_for_times(self, times: dict[TopicPartition, int]) -> dict[TopicPartition, Any]:
        return dict.fromkeys(times, self._answer("offsets_for_times", SimpleNamespace(offset=900)))

    def _answer(self, question: str, answer: Any) -> Any:
        if question in self._failing:
            raise KafkaConnectionError("the leader is away")
        return answer


def records(partition: TopicPartition, age_ms: int = 60_000) -> list[Any]:
    """Five frames, each of a stream of its partition."""
    stream = f"s{partition.partition}"
    headers = [
        FrameHeader(stream, FrameId(1, n), NOW_MS - age_ms, n, 64, 48, 64, 48, (1, 0, 0, 0, 1, 0)) for n in range(5)
    ]
    return [
        SimpleNamespace(
            offset=10 + n, key=stream.encode(), value=b"x", headers=each.to_headers(), timestamp=each.captured_ms
        )
        for n, each in enumerate(headers)
    ]


class Rig:
    """An intake that has three partitions, each committed up to `start`, of streams that want fresh frames only."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, consumer: Consumer, start: int = 10) -> None:
        settings, self.ledger = Settings(), Ledger("main")
        stub = SimpleNamespace(
            refresh=lambda: None, learn=list, of=lambda _: Treatment(500, False), bound_on=lambda _: 500
        )
        chooser = Chooser(1000, lambda *_: None)
        nothing = cast(Any, None)
        self.intake = Intake(
            *(settings, self.ledger, chooser, cast(Mirror, nothing), cast(Treatments, stub), cast(Followers, nothing))
        )
        self.intake._consumer = cast(Any, consumer)
        for partition in PARTITIONS:
            self.ledger.open(partition.partition, Positions({}), start)
            self.intake._next_offset[partition.partition] = start
        polls = iter([{partition: records(partition) for partition in PARTITIONS}])
        monkeypatch.setattr("consumers.intake.poll_group", lambda *_, **__: next(polls, {}))


def test_what_is_polled_beside_a_partition_that_can_t_be_skipped_in_is_taken_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    consumer = Consumer("offsets_for_times")
    rig = Rig(monkeypatch, consumer)
    with pytest.raises(KafkaError):
        rig.intake.step(0)
    assert rig.ledger.depth() == 15
    assert consumer.sought == {}


def test_what_is_polled_and_not_taken_in_comes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A part of the log is missing, and whether retention took it isn't heard."""
    consumer = Consumer("beginning_offsets")
    rig = Rig(monkeypatch, consumer, start=5)
    with pytest.raises(KafkaError):
        rig.intake.step(0)
    assert rig.ledger.depth() == 0
    assert consumer.sought == dict.fromkeys(PARTITIONS, 10)


def test_old_frames_are_skipped_in_every_partition(monkeypatch: pytest.MonkeyPatch) -> None:
    consumer = Consumer()
    rig = Rig(monkeypatch, consumer)
    rig.intake.step(0)
    assert rig.ledger.depth() == 15
    assert consumer.sought == dict.fromkeys(PARTITIONS, 900)


def test_a_partition_that_is_taken_away_while_old_frames_are_skipped_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(monkeypatch, Consumer(taken_away=True))
    rig.intake.step(0)
