"""Whether a gap's reason is true: by the stream's definition, by what was on `frames`, by what is no longer there."""

import math
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from tests.chaos.journal import Frame
from tests.chaos.verdict import Circumstances, Definition, Span, Verdict

REASONS = {"stale", "dropped", "expired", "dead", "unchanged"}
"""`refused` is not among them: no test's model needs more than its pictures have."""
_LOOKED_AT = {"dead", "unchanged"}  # somebody had the frame in hand
_UNREAD = {"stale", "expired"}  # whole runs may be in such a gap


@dataclass(frozen=True)
class Late:
    """A frame that came behind a newer one, which a worker ignores. behind: the newer one's epoch."""

    frame: Frame
    behind: int


def judge_journal(verdict: Verdict, stream: str, frames: Sequence[Frame], around: Circumstances) -> None:
    """What producers wrote: runs in order, an end behind all of its run, and of a file every frame."""
    _, late = in_order(frames)
    is_file = around.of(stream).round_frames is not None
    for one in late:
        # A live source has a new epoch in each process, a file's frames are the same whoever reads it.
        if one.behind == one.frame.epoch or (is_file and not around.is_upset(one.behind)):
            verdict.blame("lost", f"{stream}: {one.frame.epoch}-{one.frame.sequence} came behind {one.behind}")
    highest: dict[int, int] = defaultdict(lambda: -1)
    for frame in frames:
        if not frame.is_end:
            highest[frame.epoch] = max(highest[frame.epoch], frame.sequence)
        elif frame.sequence <= highest[frame.epoch]:
            verdict.blame("wrong", f"{stream}: {frame.epoch} ends at {frame.sequence}, and goes further")
    if is_file:
        _judge_rounds(verdict, stream, frames, around)


def _judge_rounds(verdict: Verdict, stream: str, frames: Iterable[Frame], around: Circumstances) -> None:
    """A file waits rather than drops, and whoever goes on with it does so behind its last frame."""
    rounds: dict[int, set[int]] = defaultdict(set)
    for frame in frames:
        if not frame.is_end:
            rounds[frame.epoch].add(frame.sequence)
    whole = around.of(stream).round_frames or 0
    for epoch, after in pairwise([*sorted(rounds), None]):
        assert epoch is not None
        reach = max(rounds[epoch]) + 1
        # Of two producers that both took it for theirs, one's round is broken off.
        is_over = after is not None and not (around.is_upset(epoch) or around.is_upset(after))
        missing = (max(whole, reach) if is_over else reach) - len(rounds[epoch])
        if missing:
            verdict.blame("lost", f"{stream}: {missing} frames of file's round {epoch} never came", missing)
        if reach > whole:
            verdict.blame("wrong", f"{stream}: round {epoch} has {reach} frames, the file {whole}")


def passed_over(frames: Iterable[Frame], records: Sequence[Any]) -> dict[Frame, Any]:
    """Frames of epochs between which nobody has looked, and their gap: an open one of such a reason reaches to the
    stream's next record.
    """
    there = {record["epoch"] for record in records}
    spans = [
        (one["epoch"], after["epoch"], one)
        for one, after in pairwise(records)
        if one["kind"] == "gap" and one["last"] is None and one["reason"] in _UNREAD
    ]
    return {
        frame: gap
        for frame in frames
        if frame.epoch not in there
        for first, last, gap in spans
        if first < frame.epoch < last
    }


def judge_reasons(
    verdict: Verdict, stream: str, frames: Sequence[Frame], records: Sequence[Any], around: Circumstances
) -> None:
    """Each gap, and the frames in it."""
    came, late = in_order(frames)
    over: dict[int, list[Frame]] = defaultdict(list)
    for frame, gap in passed_over(frames, records).items():
        if not frame.is_end:
            over[id(gap)].append(frame)
    first = next(iter(records), None)
    newest = max(((frame.epoch, frame.sequence) for frame in frames), default=(-1, -1))
    sequences = {epoch: [frame.sequence for frame in some] for epoch, some in came.items()}
    for gap in (record for record in records if record["kind"] == "gap"):
        verdict.gaps += 1
        span = Span.of(gap)
        counted = None if span.last == math.inf else span.last - span.first + 1
        if gap["reason"] not in REASONS or gap["count"] != counted:
            verdict.blame("wrong", f"{stream}: gap {gap['id']} of {gap['count']} frames, {gap['reason']!r}")
        # An hour has thousands of gaps and a hundred thousand frames: each gap looks at its own ones only.
        there = sequences.get(gap["epoch"], [])
        covered = came[gap["epoch"]][bisect_left(there, span.first) : bisect_right(there, span.last)]
        verdict.skip(gap["reason"], len(covered))
        behind = (one.frame for one in late if one.frame.epoch == gap["epoch"])
        verdict.skip("late", sum(span.first <= frame.sequence <= span.last for frame in behind))
        verdict.skip("passed over", len(over[id(gap)]))
        untrue = _untrue(gap, [*covered, *over[id(gap)]], newest, around.of(stream), around.kept)
        if gap["reason"] in _LOOKED_AT and len(covered) != gap["count"]:
            untrue = f"of {gap['count']} frames, of which {len(covered)} are on the topic"
        if gap["reason"] == "expired" and gap is not first and not any(around.kept.values()):
            untrue = "expired, where nothing was deleted"
        if untrue:
            verdict.blame("wrong", f"{stream}: gap {gap['id']}, {gap['reason']}: {untrue}")


def _untrue(
    gap: Any, inside: Iterable[Frame], newest: tuple[int, int], definition: Definition, kept: Any
) -> str | None:
    """What is wrong with a gap's reason; None: nothing. newest: epoch and sequence of the stream's newest frame."""
    reason = gap["reason"]
    if reason == "stale" and definition.bound_ms is None:
        return "every frame of this stream counts"
    if reason == "unchanged" and not definition.gated:
        return "this stream has no motion gate"
    return next(_doubts(gap, inside, newest, definition, kept), None)


def _doubts(
    gap: Any, inside: Iterable[Frame], newest: tuple[int, int], definition: Definition, kept: Any
) -> Iterator[str]:
    for frame in inside:
        what = f"{frame.epoch}-{frame.sequence}"
        match gap["reason"]:
            case "dropped":
                yield f"{what} is on the topic"
            case "expired" if frame.offset >= kept.get(frame.partition, 0):
                yield f"{what} is still on the topic"
            case "stale" if not definition.bound_ms and (frame.epoch, frame.sequence) >= newest:
                yield f"nothing newer than {what} is on the topic"
            case "stale" if definition.bound_ms and _ms(gap["timestamp"]) - frame.timestamp_ms <= definition.bound_ms:
                yield f"{what} was not so old"


def in_order(frames: Iterable[Frame]) -> tuple[dict[int, list[Frame]], list[Late]]:
    """Per epoch the frames that came first, each once; and those that came behind a newer one."""
    came: dict[int, list[Frame]] = defaultdict(list)
    late: list[Late] = []
    newest, seen = (-1, -1.0), set()
    for frame in frames:
        place = (frame.epoch, math.inf if frame.is_end else frame.sequence)
        if not frame.is_end and place not in seen:
            if place > newest:
                came[frame.epoch].append(frame)
            else:
                late.append(Late(frame, newest[0]))
        seen.add(place)
        newest = max(newest, place)
    return came, late


def _ms(timestamp: str) -> float:
    return datetime.fromisoformat(timestamp).timestamp() * 1000
