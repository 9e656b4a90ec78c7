"""What a poll brought is taken in, or comes again, whatever fails on the way."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any, cast

import pytest
from kafka import TopicPartition
from kafka.errors import KafkaConnectionError, KafkaError
from kafka.structs import OffsetAndMetadata
from prometheus_client import REGISTRY

from consumers.choose import Chooser
from consumers.follow import Followers
from consumers.intake import Intake
from consumers.lanes.motion_gate import MotionGate
from consumers.ledger import Ledger
from consumers.mirroring.mirror import Mirror
from consumers.positions import Position, Positions, dump_positions
from consumers.treatment import Treatment, Treatments
from streamer.moments import unix_ms
from streamer.records import FrameHeader, FrameId, Gap, GapReason
from streamer.settings import Settings

PARTITIONS = [TopicPartition("frames", number) for number in range(3)]
NOW_MS = unix_ms()


class Consumer:
    """As much of a KafkaConsumer as is asked for. failing: the questions that Kafka does not answer."""

    def __init__(self, *failing: str, taken_away: bool = False) -> None:
        self._fetcher = SimpleNamespace(config={})
        self._failing, self._taken_away = failing, taken_away
        self.answers: list[object] = []  # to commits that are not waited for
        self.asked = 0
        self.sought: dict[TopicPartition, int] = {}
        self.end, self.fresh = 900, True  # of each partition; fresh: its last frame is
        self.closing_ms = 0.0
        self.revoked: Callable[[set[TopicPartition]], Coroutine[Any, Any, None]]

    def group_metadata(self) -> Any:
        return SimpleNamespace(generation_id=1)

    def assignment(self) -> set[TopicPartition]:
        return set(PARTITIONS)

    def committed(self, partition: TopicPartition, **_: Any) -> Any:
        """Behind the first five frames."""
        text = dump_positions({f"s{partition.partition}": Position(FrameId(1, 5))})
        return OffsetAndMetadata(15, text, -1)

    def highwater(self, partition: TopicPartition) -> int:
        return 1000

    def position(self, partition: TopicPartition) -> int:
        return 15

    def close(self, autocommit: bool, timeout_ms: float) -> None:
        self.closing_ms = timeout_ms
        asyncio.run(self.revoked(set(PARTITIONS)))

    def commit(self, offsets: Any, timeout_ms: int) -> None:
        pass

    def commit_async(self, offsets: Any, callback: Callable[[Any, object], None]) -> None:
        self.asked += 1
        callback(offsets, self.answers.pop(0))

    def seek(self, partition: TopicPartition, offset: int) -> None:
        if self._taken_away:
            raise ValueError("Unassigned partition")
        self.sought[partition] = offset

    def beginning_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, self._answer("beginning_offsets", 10))

    def offsets_for_times(self, times: dict[TopicPartition, int]) -> dict[TopicPartition, Any]:
        self.end += 50  # what comes meanwhile
        return dict.fromkeys(
            times, self._answer("offsets_for_times", SimpleNamespace(offset=900) if self.fresh else None)
        )

    def end_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, self.end)

    def _answer(self, question: str, answer: Any) -> Any:
        if question in self._failing:
            raise KafkaConnectionError("the leader is away")
        return answer


def records(partition: TopicPartition, first: int = 0, age_ms: int = 60_000) -> list[Any]:
    """Five frames of its partition's stream; their offsets are 10 more than their numbers."""
    stream = f"s{partition.partition}"
    headers = [
        FrameHeader(stream, FrameId(1, n), NOW_MS - age_ms, n, 64, 48, 64, 48, (1, 0, 0, 0, 1, 0))
        for n in range(first, first + 5)
    ]
    return [
        SimpleNamespace(
            offset=10 + each.id.sequence,
            key=stream.encode(),
            value=b"x",
            headers=each.to_headers(),
            timestamp=each.captured_ms,
        )
        for each in headers
    ]


class Rig:
    """An intake that has three partitions, each committed up to `start`, of streams that want fresh frames only."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, consumer: Consumer, start: int = 10) -> None:
        settings, self.ledger, self.now = Settings(), Ledger("main"), 0.0
        self.forgotten: list[set[int]] = []  # by the motion gate
        stub = SimpleNamespace(
            refresh=lambda: None,
            catch_up=lambda: None,
            tracked=frozenset,
            learn=list,
            of=lambda _: Treatment(500, False),
            bound_on=lambda _: 500,
        )
        chooser = Chooser(1000, lambda *_: None)
        beside: Any = SimpleNamespace(
            forget=lambda _: None, check=lambda *_: None, open=lambda *_: {}, resume=lambda *_: None
        )
        mirror, followers = cast(Mirror, beside), cast(Followers, beside)
        gate = cast(MotionGate, SimpleNamespace(forget=self.forgotten.append))
        self.intake = Intake(settings, self.ledger, chooser, mirror, cast(Treatments, stub), followers, gate)
        self.intake._consumer = cast(Any, consumer)
        for partition in PARTITIONS:
            self.ledger.open(partition.partition, Positions({}), start)
            self.intake._next_offset[partition.partition] = start
        self.polls = [{partition: records(partition) for partition in PARTITIONS}]
        monkeypatch.setattr("consumers.intake.poll_group", lambda *_, **__: self.polls.pop(0) if self.polls else {})


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


def test_what_comes_while_the_end_of_old_frames_is_looked_for_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    consumer = Consumer()
    consumer.fresh = False
    rig = Rig(monkeypatch, consumer)
    rig.polls = [{PARTITIONS[0]: records(PARTITIONS[0])}]
    rig.intake.step(0)
    assert consumer.sought == {PARTITIONS[0]: 899}


def test_a_partition_that_is_taken_away_while_old_frames_are_skipped_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    consumer = Consumer(taken_away=True)
    rig = Rig(monkeypatch, consumer)
    rig.intake.step(0)
    assert rig.ledger.depth() == 15
    assert consumer.sought == {}


def test_what_was_skipped_by_then_is_forgotten_with_the_partition(monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes back at its committed offset, from which everything is read: a hole there is the producer's."""
    rig = Rig(monkeypatch, Consumer())
    rig.intake.step(0)
    rig.intake.given_up(set(PARTITIONS), 0)
    rig.intake.assigned(set(PARTITIONS))
    late = [record for record in records(PARTITIONS[0], first=5, age_ms=0) if record.offset != 15]
    rig.polls.append({PARTITIONS[0]: late})
    rig.intake.step(0)
    for entry in rig.ledger._partitions[0].entries:
        rig.ledger.finish(entry, GapReason.REFUSED)
    batch = rig.ledger.collect(NOW_MS)
    assert batch is not None
    gaps = [record for _, record in batch.records if isinstance(record, Gap)]
    assert [(gap.first.sequence, gap.last_sequence, gap.reason) for gap in gaps] == [
        (5, 5, GapReason.DROPPED),
        (6, 9, GapReason.REFUSED),
    ]


def test_the_motion_gate_forgets_what_was_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(monkeypatch, Consumer())
    rig.intake.given_up(set(PARTITIONS[:2]), 0)
    assert rig.forgotten == [{0, 1}]


def test_an_outage_in_which_offsets_can_t_be_committed_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    consumer = Consumer()
    rig = Rig(monkeypatch, consumer)
    rig.polls.clear()
    for _ in range(2):
        away = [KafkaConnectionError("the coordinator is away")] * 3
        consumer.answers = [*away, None]
        rig.intake.plain_offsets.add({0: (12, "")})
        with caplog.at_level(logging.WARNING, "consumers.intake"):
            for _ in range(6):
                rig.intake.step(0)
    assert consumer.asked == 8
    assert len(caplog.records) == 2


def test_nothing_is_polled_while_too_much_is_not_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    answered: list[object] = []
    monkeypatch.setattr("consumers.intake.answer_group", answered.append)
    monkeypatch.setattr("consumers.intake._FULL_S", 0)
    monkeypatch.setattr("consumers.ledger._MOST", 15)
    consumer = Consumer()
    rig = Rig(monkeypatch, consumer)
    rig.polls.append({PARTITIONS[0]: records(PARTITIONS[0], first=5)})
    rig.intake.step(0)
    consumer.answers.append(None)
    rig.intake.plain_offsets.add({0: (12, "")})
    rig.intake.step(0)
    assert (rig.ledger.depth(), len(answered), consumer.asked) == (15, 1, 1)
    monkeypatch.setattr("consumers.intake._STANDS_S", -1)
    assert "15 frames have waited" in (rig.intake.why_idle() or "")

    for partition in PARTITIONS:
        for entry in rig.ledger._partitions[partition.partition].entries:
            rig.ledger.finish(entry, GapReason.REFUSED)
    rig.ledger.collect(NOW_MS)
    rig.intake.step(0)
    assert (rig.ledger.depth(), len(answered)) == (5, 1)
    assert rig.intake._full_since is None


def test_partitions_are_taken_over_though_too_much_was_not_committed_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consumers.ledger._MOST", 15)
    rig = Rig(monkeypatch, Consumer())
    rig.polls.append({PARTITIONS[0]: records(PARTITIONS[0], first=5)})
    rig.intake.step(0)
    rig.intake.given_up(set(PARTITIONS), 0)
    rig.intake.assigned(set(PARTITIONS))
    rig.intake.step(0)
    assert rig.ledger.depth() == 5


def test_leaving_the_group_has_one_limit_for_all_of_its_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    consumer = Consumer()
    rig, waits = Rig(monkeypatch, consumer), list[float]()

    async def commit(_: Any, offsets: Any, timeout_s: float) -> None:
        waits.append(timeout_s)

    def close(numbers: Any, timeout_s: float) -> bool:
        waits.append(timeout_s)
        rig.now += timeout_s
        return False

    monkeypatch.setattr("consumers.intake.commit_while_revoked", commit)
    monkeypatch.setattr("streamer.lifecycle.time", SimpleNamespace(monotonic=lambda: rig.now))
    monkeypatch.setattr(rig.ledger, "close", close)
    consumer.revoked = rig.intake.revoked
    rig.intake.close(2)
    assert [*waits, consumer.closing_ms / 1000] == [1, 0.5, 0.5]


def test_who_has_lost_its_partitions_does_not_claim_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def claimed() -> float | None:
        return REGISTRY.get_sample_value("streamer_detect_partitions", {"pipeline": "main"})

    rig = Rig(monkeypatch, Consumer())
    rig.intake.assigned(set(PARTITIONS))
    assert claimed() == 3
    rig.intake.given_up(set(PARTITIONS), 0)
    assert claimed() == 0
