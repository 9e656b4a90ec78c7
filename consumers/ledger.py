"""Which frames are under way, and what may be committed: per partition the done ones before the first undone.

Frames are done in any order by several lanes; results leave in the order of the log. Everything that is
decided by order is decided when a frame is registered: repeats, holes, ends.
"""

import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from consumers.cover import covering
from consumers.entry import Batch, Entry, Partition
from consumers.poison.attempts import Attempt
from consumers.positions import Position, Positions, dump_positions, stepped_over
from streamer.records import Death, End, EndHeader, FrameHeader, FrameId, Gap, GapReason, Result

_TOGETHER = 1000  # frames that one transaction covers: it has to be over within detect.transaction_timeout_ms
_MOST = 4 * _TOGETHER  # between poll and commit, give or take a poll; what is done within a patient pause on a fast GPU
_REMEMBERED = 1000  # streams of a partition, if so many have ended: several times what the metadata has room for


class _PartitionState:
    """seen: as of the last registered entry. committed, offset, attempt: as of the last collected one.

    begun: whether what is under way is written down. owed: whether that is to be taken back if we leave. stepped_over:
    why a part of the log was not read, the last time that one wasn't. forgotten: the newest epoch whose end may not
    be known any more.
    """

    def __init__(self, positions: Positions, offset: int) -> None:
        self.entries: deque[Entry] = deque()
        self.seen = dict(positions.streams)
        self.committed, self.offset, self.attempt = dict(positions.streams), offset, positions.attempt
        self.complete = positions.complete
        self.begun = self.owed = False
        self.forgotten = 0
        self.stepped_over = next((position.unread for position in positions.streams.values() if position.unread), None)
        self.membership: Any = None

    def move(self, entry: Entry) -> None:
        """Behind a frame that is done; the streams that moved last come last."""
        if entry.stepped_over:
            self.committed = stepped_over(self.committed, entry.stepped_over)
        if entry.position is not None and entry.header is not None:
            before = self.committed.pop(entry.header.stream, None)
            has_state = before.has_state if before else not self.complete
            if isinstance(entry.outcome, Result):
                # What follows a tracked stream's objects writes with each result. Where tracking is switched off, it
                # stays until the epoch is over, for the sake of its numbers.
                same = before is not None and before.next.epoch == entry.position.next.epoch
                has_state = entry.outcome.candidates is not None or (has_state and same)
            self.committed[entry.header.stream] = replace(entry.position, has_state=has_state)

    def forget(self) -> list[str]:
        """The streams that ended longest ago, now and then: a worker may see new names for ever."""
        if len(self.committed) <= 2 * _REMEMBERED:
            return []
        ended = [name for name, position in self.committed.items() if position.ended and self.seen[name] == position]
        names = ended[: len(self.committed) - _REMEMBERED]
        for name in names:
            self.forgotten = max(self.forgotten, self.committed.pop(name).next.epoch)
            del self.seen[name]
        return names

    def metadata(self, attempt: Attempt | None) -> str:
        return dump_positions(self.committed, self.complete, attempt)


class Ledger:
    """Thread-safe. Poller registers, lanes finish, the committer collects, a revoked partition is given up.

    urgent: set while something is done that somebody waits for. pressing, and urgent with it: set while nothing may be
    put off, whoever waits for it: a partition is being given up, a transaction was full, or no more frames may come.
    failing: whether the worker leaves because it failed: then what was begun stays written down.
    """

    def __init__(self, pipeline: str) -> None:
        self._pipeline = pipeline
        self._partitions: dict[Partition, _PartitionState] = {}
        self._changed = threading.Condition()
        self._closing: set[Partition] = set()
        self._collected: list[Entry] = []
        self._under_way: set[Partition] = set()  # collected, not settled
        self.urgent, self.pressing = threading.Event(), threading.Event()
        self.failing = False

    def open(self, partition: Partition, positions: Positions, offset: int = 0) -> None:
        """Takes a partition over, at its committed offset and positions."""
        with self._changed:
            self._partitions[partition] = _PartitionState(positions, offset)

    def owns(self, partition: Partition) -> bool:
        """Whether the partition is open."""
        with self._changed:
            return partition in self._partitions and partition not in self._closing

    def begun(self, partition: Partition) -> bool:
        """Whether it was said, since the partition was opened, that its frames are begun."""
        with self._changed:
            state = self._partitions.get(partition)
            return state is not None and state.begun

    def committed_offset(self, partition: Partition) -> int | None:
        """The committed offset; None: the partition isn't open."""
        with self._changed:
            state = self._partitions.get(partition)
            return state.offset if state else None

    def with_state(self, partition: Partition) -> set[str]:
        """Those of the partition's streams of which topic `state` may hold something."""
        with self._changed:
            state = self._partitions.get(partition)
            return {name for name, position in state.committed.items() if position.has_state} if state else set()

    def attempt(self, partition: Partition) -> Attempt | None:
        """What was begun behind the committed offset."""
        with self._changed:
            state = self._partitions.get(partition)
            return state.attempt if state else None

    def with_attempt(self, partition: Partition, attempt: Attempt) -> tuple[int, str] | None:
        """The committed offset, and its metadata with what is to be begun; None: the partition isn't open."""
        with self._changed:
            state = self._partitions.get(partition)
            return (state.offset, state.metadata(attempt)) if state else None

    def begin(self, partition: Partition, attempt: Attempt, membership: Any, owed: bool) -> None:
        """It is written down. owed: it is to be taken back if the partition is given up alive."""
        with self._changed:
            state = self._partitions.get(partition)
            if state is not None:
                state.begun, state.attempt, state.membership, state.owed = True, attempt, membership, owed

    def register(self, entry: Entry, now_ms: int) -> bool:
        """Takes a frame in; returns whether it is to be detected, rather than done already."""
        with self._changed:
            state = self._partitions.get(entry.partition)
            if state is None or entry.partition in self._closing:
                entry.abandoned = True
                return False
            state.entries.append(entry)
            if entry.stepped_over:
                state.seen, state.stepped_over = stepped_over(state.seen, entry.stepped_over), entry.stepped_over
            if entry.header is None or entry.foreign:
                entry.done = True
            else:
                self._place(state, entry, entry.header, now_ms)
            if entry.done:
                self._tell(entry)
            return not entry.done

    def _place(self, state: _PartitionState, entry: Entry, header: FrameHeader | EndHeader, now_ms: int) -> None:
        before = state.seen.get(header.stream)
        if before and (header.id < before.next or (before.ended and header.id.epoch == before.next.epoch)):
            entry.done = True  # a repeat: its first copy has the result
            return
        entry.gaps_before = tuple(self._holes(state, header.stream, header.id, now_ms))
        if isinstance(header, EndHeader):
            entry.outcome = End(self._pipeline, header.stream, header.id, header.captured_ms, header.error)
            entry.position = Position(header.id, ended=True)
            entry.done = True
        else:
            entry.position = Position(FrameId(header.id.epoch, header.id.sequence + 1))
        state.seen[header.stream] = entry.position

    def _holes(self, state: _PartitionState, stream: str, now: FrameId, now_ms: int) -> Iterable[Gap]:
        before, expected = state.seen.get(stream), FrameId(now.epoch, 0)
        hole = (before.unread if before else state.stepped_over) or GapReason.DROPPED
        if before is None:
            # The pipeline meets this stream in the middle: what came before is no longer in the log.
            hole = hole if hole is GapReason.STALE else GapReason.EXPIRED
            if not state.complete or now.epoch <= state.forgotten:
                return
        elif before.next.epoch == now.epoch:
            expected = before.next
        elif not before.ended:
            # The old run ended without saying how many frames it had: its producer died.
            yield Gap(self._pipeline, stream, before.next, None, hole, now_ms)
        elif before.unread and now.epoch > before.next.epoch + 1:
            # Whole runs may lie in what was stepped over, of which nobody knows.
            yield Gap(self._pipeline, stream, FrameId(before.next.epoch + 1, 0), None, hole, now_ms)
        if now.sequence > expected.sequence:
            yield Gap(self._pipeline, stream, expected, now.sequence - 1, hole, now_ms)

    def finish(self, entry: Entry, outcome: Result | GapReason, detail: str = "", dead: Death | None = None) -> None:
        """A frame is done; of an abandoned one the outcome is forgotten: its new owner does it again."""
        with self._changed:
            entry.outcome, entry.detail, entry.dead, entry.done = outcome, detail, dead, True
            self._tell(entry)

    def _tell(self, entry: Entry) -> None:
        if entry.dead is None:
            entry.jpeg = b""  # it may wait long behind one that is not done, with thousands of others
        if entry.partition in self._closing:
            self.press()
        elif not entry.patient:
            self.urgent.set()
        self._changed.notify_all()

    def press(self) -> None:
        """Nothing is put off until the next batch is collected."""
        self.pressing.set()
        self.urgent.set()

    def wait_for_room(self, timeout_s: float) -> bool:
        """Waits until more frames may come; False after `timeout_s`. Those that are here need no others to be done."""
        with self._changed:
            if self._depth() < _MOST:
                return True
            self.press()
            return self._changed.wait_for(lambda: self._depth() < _MOST, timeout_s)

    def wait(self, timeout_s: float) -> bool:
        """Waits until something may be committed; False after `timeout_s`."""
        with self._changed:
            return self._changed.wait_for(self._ready, timeout_s)

    def wait_idle(self, timeout_s: float) -> bool:
        """Waits until everything that was registered is committed; False after `timeout_s`."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._busy(set(self._partitions)), timeout_s)

    def _ready(self) -> bool:
        return any(
            state.entries[0].done if state.entries else self._to_take_back(number)
            for number, state in self._partitions.items()
        )

    def _to_take_back(self, partition: Partition) -> bool:
        return partition in self._closing and self._partitions[partition].owed and not self.failing

    def collect(self, now_ms: int, limit: int = _TOGETHER) -> Batch | None:
        """What may be committed now, `limit` frames at most. `settle` must follow."""
        with self._changed:
            self.urgent.clear()
            self.pressing.clear()
            batch = Batch(None)
            for number, state in self._partitions.items():
                self._collect(number, state, batch, now_ms, limit)
            self._collected, self._under_way = batch.entries, set(batch.offsets)
            if any(entry.done and not entry.patient for state in self._partitions.values() for entry in state.entries):
                self.urgent.set()  # it waits for a patient one before it
            if len(batch.entries) == limit or self._depth() >= _MOST:
                self.press()
                for number in batch.offsets:  # the last ones next time: partitions take turns
                    self._partitions[number] = self._partitions.pop(number)
            self._changed.notify_all()
            return batch if batch.offsets else None

    def _collect(self, number: Partition, state: _PartitionState, batch: Batch, now_ms: int, limit: int) -> None:
        taken: list[Entry] = []
        while state.entries and state.entries[0].done and len(batch.entries) + len(taken) < limit:
            if batch.membership is not None and state.entries[0].membership != batch.membership:
                break
            taken.append(state.entries.popleft())
            batch.membership = taken[-1].membership
        if not taken:
            if not state.entries and self._to_take_back(number) and batch.membership in (None, state.membership):
                batch.membership, state.owed = state.membership, False
                batch.offsets[number] = (state.offset, state.metadata(None))
            return
        for entry in taken:
            state.move(entry)
        batch.forgotten += [(number, name) for name in state.forget()]
        batch.entries += taken
        batch.records += [(number, record) for record in covering(taken, self._pipeline, now_ms)]
        batch.dead += [entry for entry in taken if entry.dead]
        state.offset = taken[-1].offset + 1
        state.attempt = state.attempt and state.attempt.behind(state.offset)
        state.owed = state.owed and state.attempt is not None
        batch.offsets[number] = (state.offset, state.metadata(state.attempt))

    def settle(self) -> None:
        """The last collected batch is committed, or belongs to another worker now."""
        with self._changed:
            self._collected, self._under_way = [], set()
            self._changed.notify_all()

    def close(self, partitions: Iterable[Partition], timeout_s: float) -> bool:
        """Gives partitions up: waits until what lanes have begun is committed, forgets the rest.

        Returns whether everything begun was committed in time. After it returns, nothing of these partitions
        is collected any more.
        """
        numbers = set(partitions)
        with self._changed:
            self._closing |= numbers
            self.press()
            for number in numbers & self._partitions.keys():
                self._withdraw(self._partitions[number])
            done = self._changed.wait_for(lambda: not self._busy(numbers), timeout_s)
            for number in numbers:
                state = self._partitions.pop(number, None)
                for entry in state.entries if state else ():
                    entry.abandoned = True
            for entry in self._collected:
                entry.abandoned = entry.abandoned or entry.partition in numbers
            self._closing -= numbers
            self._changed.notify_all()
            return done

    def _withdraw(self, state: _PartitionState) -> None:
        """Cuts the tail off from the first frame that no lane has begun: it can't be committed before it."""
        kept: deque[Entry] = deque()
        cut = False
        for entry in state.entries:
            cut = cut or not (entry.done or entry.taken)
            if cut:
                entry.abandoned = True
            else:
                kept.append(entry)
        state.entries = kept

    def _busy(self, numbers: set[Partition]) -> bool:
        ours = numbers & self._partitions.keys()
        waiting = any(self._partitions[number].entries or self._to_take_back(number) for number in ours)
        return waiting or bool(self._under_way & numbers)

    def depth(self) -> int:
        """Frames between poll and commit."""
        with self._changed:
            return self._depth()

    def _depth(self) -> int:
        return sum(len(state.entries) for state in self._partitions.values())
