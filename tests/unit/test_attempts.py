"""Which frame ended a worker: found by what dead workers left in the metadata of committed offsets.

Workers here are real ledgers and the real isolation over a log in memory, killed at chosen or at drawn moments.
"""

import random
import threading
from collections import namedtuple
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from kafka import TopicPartition
from kafka.structs import MemberState

from consumers.entry import Entry
from consumers.ledger import Ledger
from consumers.poison.attempts import GROUP, Attempt, begun_alone, begun_in_group, begun_together
from consumers.poison.isolation import Isolation, Polled
from consumers.positions import Positions, dump_positions, load_positions
from streamer.records import DeadCause, Death, FrameHeader, FrameId, GapReason, Result
from streamer.settings import DetectSettings

Record = namedtuple("Record", "offset")


class DiedError(Exception):
    """The process is gone, and nothing in it can notice."""


@dataclass
class Log:
    """What outlives workers: frames, committed offsets with metadata, and what was committed."""

    lengths: dict[TopicPartition, int]
    committed: dict[TopicPartition, tuple[int, str]] = field(default_factory=dict)
    results: list[tuple[TopicPartition, int]] = field(default_factory=list)
    dead: list[tuple[TopicPartition, int]] = field(default_factory=list)


class Consumer:
    """As much of a KafkaConsumer as is asked for."""

    _coordinator = SimpleNamespace(_join_task=None)
    _fetcher = SimpleNamespace(_next_partition_records=None)

    def __init__(self, log: Log) -> None:
        self._log = log
        self._positions = {p: log.committed.get(p, (0, ""))[0] for p in log.lengths}
        self._paused: set[TopicPartition] = set()

    def assignment(self) -> set[TopicPartition]:
        return set(self._positions)

    def paused(self) -> set[TopicPartition]:
        return set(self._paused)

    def pause(self, *partitions: TopicPartition) -> None:
        self._paused |= set(partitions)

    def resume(self, *partitions: TopicPartition) -> None:
        self._paused -= set(partitions)

    def position(self, partition: TopicPartition) -> int:
        return self._positions[partition]

    def highwater(self, partition: TopicPartition) -> int:
        return self._log.lengths[partition]

    def group_metadata(self) -> Any:
        return SimpleNamespace(state=MemberState.STABLE, generation_id=1)

    def poll(self, timeout_ms: int, max_records: int = 64) -> dict[TopicPartition, list[Record]]:
        polled = {}
        for partition in sorted(self.assignment() - self._paused):
            start = self._positions[partition]
            stop = min(start + max_records, self._log.lengths[partition])
            if start < stop:
                polled[partition] = [Record(offset) for offset in range(start, stop)]
                self._positions[partition] = stop
        return polled

    def commit(self, offsets: dict[TopicPartition, Any], timeout_ms: int) -> None:
        for partition, (offset, text, _) in offsets.items():
            self._log.committed[partition] = (offset, text)


class Worker:
    """One life. poison: frames that end it; mortal: how likely any step is its last, from outside."""

    def __init__(
        self, log: Log, poison: set[tuple[TopicPartition, int]], tries: int, draw: random.Random, mortal: float = 0
    ) -> None:
        self._log, self._poison, self._draw, self._mortal = log, poison, draw, mortal
        self._consumer, self._ledger = Consumer(log), Ledger("main")
        settings = DetectSettings(tries=tries)
        self._isolation = Isolation(settings, self._ledger, lambda *_: None, self._take_in, lambda: None)
        self._in_hand: list[Entry] = []
        for partition in log.lengths:
            offset, text = log.committed.get(partition, (0, dump_positions({})))
            positions = load_positions(text)
            self._ledger.open(partition.partition, positions, offset)
            self._isolation.opened(partition, positions.attempt)

    def run(self) -> None:
        """Until everything is done."""
        while any(self._log.committed.get(p, (0,))[0] < length for p, length in self._log.lengths.items()):
            if self._isolation.active:
                self._isolation.step(self._consumer, 0)
            else:
                self._begin_together()
            self._work()

    def _begin_together(self) -> None:
        polled = self._consumer.poll(0)
        self._isolation.begin(self._consumer, polled)
        for partition, records in polled.items():
            for record in records:
                self._take_in(Polled(partition, record, 1, 0), 0)

    def _take_in(self, polled: Polled, begun: int) -> None:
        number, offset = polled.partition.partition, polled.record.offset
        header = FrameHeader(str(number), FrameId(1, offset), 1, offset, 1, 1, 1, 1, (1, 0, 0, 0, 1, 0))
        entry = Entry(number, offset, 1, header, b"", 0)
        assert self._ledger.register(entry, 0)
        if begun:
            self._ledger.finish(entry, GapReason.DEAD, "", Death(DeadCause.FATAL, "", begun))
        else:
            self._in_hand.append(entry)

    def _work(self) -> None:
        """Lanes and committer, in any order."""
        self._draw.shuffle(self._in_hand)
        while self._in_hand:
            self._finish(self._in_hand.pop())
            if self._draw.random() < self._mortal:
                raise DiedError
            if self._draw.random() < 0.3:
                self._commit()
        self._commit()

    def _finish(self, entry: Entry) -> None:
        if (TopicPartition("frames", entry.partition), entry.offset) in self._poison:
            raise DiedError
        assert entry.header is not None
        self._ledger.finish(entry, Result("main", entry.header.stream, entry.header.id, 1, 1, 1, ()))

    def _commit(self) -> None:
        batch = self._ledger.collect(0)
        for number, (offset, text) in batch.offsets.items() if batch else ():
            self._log.committed[TopicPartition("frames", number)] = (offset, text)
        for entry in batch.entries if batch else ():
            done = self._log.dead if entry.dead else self._log.results
            done.append((TopicPartition("frames", entry.partition), entry.offset))
        self._ledger.settle()


A, B, C = (TopicPartition("frames", number) for number in range(3))


def lives(log: Log, poison: set[tuple[TopicPartition, int]], seed: int, tries: int = 3, mortal: float = 0) -> int:
    """Workers one after the other until all is done; returns how many died."""
    draw = random.Random(seed)
    for deaths in range(200):
        try:
            Worker(log, poison, tries, draw, mortal).run()
            return deaths
        except DiedError:
            continue
    raise AssertionError("they die for ever")


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("tries", [1, 3, 5])
@pytest.mark.parametrize("poison", [{(A, 0)}, {(A, 299)}, {(A, 57), (C, 8)}, {(B, 20), (B, 21)}])
def test_exactly_the_frames_that_kill_are_dead(poison: set[tuple[TopicPartition, int]], tries: int, seed: int) -> None:
    log = Log({A: 300, B: 90, C: 9})
    deaths = lives(log, poison, seed, tries)
    assert set(log.dead) == poison
    for partition, length in log.lengths.items():
        covered = [offset for where, offset in (*log.results, *log.dead) if where == partition]
        assert sorted(covered) == list(range(length)), "each once"
    # Each costs its tries, two deaths that narrow it down, and one that progress may hide.
    assert deaths <= (tries + 3) * len(poison)


@pytest.mark.parametrize("seed", range(8))
def test_kills_from_outside_condemn_nobody(seed: int) -> None:
    """Every fiftieth frame or so is a worker's last: often soon again, but hardly ever at the very same frame."""
    log = Log({A: 400, B: 90, C: 9})
    assert lives(log, set(), seed, mortal=0.02) > 1
    assert log.dead == []
    assert len(set(log.results)) == len(log.results) == 499


@pytest.mark.parametrize("after", [0, 5])
def test_who_leaves_alive_takes_the_attempt_back(after: int) -> None:
    ledger = Ledger("main")
    ledger.open(0, Positions({}), 100)
    ledger.begin(0, Attempt(130), "member", owed=True)
    for sequence in range(after):
        header = FrameHeader("a", FrameId(1, sequence), 1, sequence, 1, 1, 1, 1, (1, 0, 0, 0, 1, 0))
        entry = Entry(0, 100 + sequence, "member", header, b"", 0)
        ledger.register(entry, 0)
        ledger.finish(entry, Result("main", "a", header.id, 1, 1, 1, ()))
    closing = threading.Thread(target=ledger.close, args=({0}, 10))
    closing.start()
    offsets = {}
    while closing.is_alive() or ledger.wait(0):
        if ledger.wait(0.01) and (batch := ledger.collect(0)):
            offsets = batch.offsets
            ledger.settle()
    offset, text = offsets[0]
    assert (offset, load_positions(text).attempt) == (100 + after, None)


@pytest.mark.parametrize(
    ("attempt", "offset", "left"),
    [
        (Attempt(50), 20, Attempt(50)),
        (Attempt(50), 50, None),
        (Attempt(50, 30), 29, Attempt(50, 30)),
        (Attempt(50, 30), 30, Attempt(50)),
        (Attempt(50, 30, 22, 3), 22, Attempt(50, 30, 22, 3)),
        (Attempt(50, 30, 22, 3), 23, Attempt(50, 30)),
        (Attempt(50, None, 22, 2), 23, Attempt(50)),
    ],
)
def test_what_is_left_to_find_out(attempt: Attempt, offset: int, left: Attempt | None) -> None:
    assert attempt.behind(offset) == left


def test_how_often_a_frame_was_begun_is_counted_on() -> None:
    together = begun_together(10, 1000, 16)
    assert together == Attempt(10 + 16 + 256)
    group = begun_in_group(together, 10 + GROUP)
    assert group.goes_alone(12)
    assert not group.goes_alone(10 + GROUP)
    alone = begun_alone(group, 12)
    assert alone == Attempt(together.until, 10 + GROUP, 12, 1)
    assert not alone.is_condemned(12, 2)
    again = begun_alone(alone, 12)
    assert again.is_condemned(12, 2)
    assert not again.is_condemned(12, 3)
    assert not again.is_condemned(13, 2)
    assert begun_alone(again, 13).tries == 1


@pytest.mark.parametrize("attempt", [None, Attempt(9), Attempt(9, 5), Attempt(9, 5, 4, 3), Attempt(9, None, 4, 2)])
def test_an_attempt_travels_in_the_metadata(attempt: Attempt | None) -> None:
    assert load_positions(dump_positions({}, attempt=attempt)).attempt == attempt


@pytest.mark.parametrize("row", ["3", '"x"', "[]", "[1, 2]", "[1.5, null, null, 0]", "[null, null, null, 0]", "{}"])
def test_a_foreign_attempt_is_none(row: str) -> None:
    positions = load_positions(f'{{"complete": true, "streams": {{"a": [1, 2, 0]}}, "attempt": {row}}}')
    assert positions.attempt is None
    assert "a" in positions.streams
