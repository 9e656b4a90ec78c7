"""Judges what the service wrote by docs/records.md and docs/events.md alone, and by the test's own journal of frames.

Every frame that is on topic `frames` has one result or is covered by one gap, in order per stream, and so is every
sequence number before it. Redis holds the newest records of Kafka, byte for byte, none missing in between.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

from tests.chaos.journal import Frame
from tests.chaos.logs import Row

REASONS = {"stale", "dropped", "expired", "dead", "refused", "unchanged"}
_SHOWN = 20

Held = Sequence[tuple[str, bytes]]
"""A Redis stream's ids and records."""


class Span(NamedTuple):
    """The sequence numbers of one epoch that a record answers for; of an end, all from there on."""

    first: float
    last: float


@dataclass
class Verdict:
    """What was found. acknowledged: frames on the topic, each once; gaps: records; skipped: frames in gaps, by reason,
    and `late` those that came behind a newer one, from a producer that was frozen, `passed over` those of whole epochs
    in an open gap.

    lost: numbers without a record; doubled, out_of_order: records; wrong: records that say what can't be;
    redis_differs: records that are in one of the two alone, or not alike. findings: the first of them in words.
    """

    acknowledged: int = 0
    results: int = 0
    gaps: int = 0
    events: int = 0
    lost: int = 0
    doubled: int = 0
    out_of_order: int = 0
    wrong: int = 0
    redis_differs: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether everything is as promised."""
        return not (self.lost or self.doubled or self.out_of_order or self.wrong or self.redis_differs)

    def skip(self, reason: str, count: int) -> None:
        """Counts frames in gaps."""
        if count:
            self.skipped[reason] = self.skipped.get(reason, 0) + count

    def blame(self, kind: str, text: str, count: int = 1) -> None:
        """Counts what is not as promised."""
        setattr(self, kind, getattr(self, kind) + count)
        if len(self.findings) < _SHOWN:
            self.findings.append(f"{kind}: {text}")


def check_detections(verdict: Verdict, journal: Mapping[str, Sequence[Frame]], rows: Iterable[Row]) -> None:
    """Topic `detections`, of one pipeline, in the order of each partition."""
    for stream, own in _by_stream(verdict, journal, rows).items():
        records = [row.record for row in own]
        frames = journal.get(stream, ())
        spans = _spans(verdict, stream, records)
        _judge_order(verdict, stream, [(r["epoch"], _span(r).first) for r in records])
        _judge_coverage(verdict, stream, frames, spans, _passed_over(records))
        _judge_results(verdict, stream, frames, records)
        _judge_reasons(verdict, stream, frames, records)


def check_events(verdict: Verdict, rows: Iterable[Row]) -> None:
    """Topic `events`, of one pipeline: in each epoch numbered from 0, without holes."""
    for stream, own in _by_stream(verdict, {}, rows).items():
        places = [(row.record["epoch"], row.record["number"]) for row in own]
        verdict.events += len(places)
        _judge_order(verdict, f"{stream} events", places)
        numbers = defaultdict(list)
        for epoch, number in places:
            numbers[epoch].append(Span(number, number))
        for epoch, spans in numbers.items():
            _cover(verdict, f"{stream} event {epoch}", spans)


def check_redis(verdict: Verdict, name: str, rows: Sequence[Row], held: Held, since_ms: int, most: int) -> None:
    """One stream's records in Redis against those in Kafka.

    since_ms, most: what was written since then must be there, of more than `most` records the newest.
    """
    logged = {row.record["id"]: row for row in rows}
    mirrored = dict(held)
    oldest = _place(held[0][0]) if held else None
    newest = [number for number, row in logged.items() if row.timestamp_ms >= since_ms][-most:]
    expected = {number for number in logged if oldest is not None and _place(number) >= oldest}
    for number in sorted(expected | set(newest) | mirrored.keys(), key=_place):
        row, found = logged.get(number), mirrored.get(number)
        if row is None:
            verdict.blame("redis_differs", f"{name}: {number} is in Redis alone")
        elif found is None:
            verdict.blame("redis_differs", f"{name}: {number} is not in Redis")
        elif found != row.value:
            verdict.blame("redis_differs", f"{name}: {number} is not the same in Redis")


def check_latest(verdict: Verdict, name: str, rows: Iterable[Row], held: bytes | None) -> None:
    """What Redis calls a stream's latest result, if it still holds one."""
    results = [row.value for row in rows if row.record["kind"] == "frame"]
    if held is not None and held not in results[-1:]:
        verdict.blame("redis_differs", f"{name}: the latest result is not the last on the topic")


def _by_stream(verdict: Verdict, journal: Mapping[str, Sequence[Frame]], rows: Iterable[Row]) -> dict[str, list[Row]]:
    streams: dict[str, list[Row]] = {stream: [] for stream in journal}
    for row in rows:
        record = row.record
        stream = record["sensor"]["id"] if record["kind"] == "event" else record["sensorId"]
        own = streams.setdefault(stream, [])
        if row.key != stream:
            verdict.blame("wrong", f"{stream}: a record under key {row.key}")
        if own and own[0].partition != row.partition:
            verdict.blame("out_of_order", f"{stream}: records on partitions {own[0].partition} and {row.partition}")
        own.append(row)
    return streams


def _span(record: Any) -> Span:
    match record["kind"]:
        case "gap":
            return Span(record["first"], math.inf if record["last"] is None else record["last"])
        case "end":
            return Span(record["sequence"], math.inf)
        case _:
            return Span(record["sequence"], record["sequence"])


def _spans(verdict: Verdict, stream: str, records: Iterable[Any]) -> dict[int, list[Span]]:
    spans: dict[int, list[Span]] = defaultdict(list)
    for record in records:
        spans[record["epoch"]].append(_span(record))
        last = record.get("sequence", record.get("last"))
        if record["id"] != f"{record['epoch']}-{record['first'] if last is None else last}":
            verdict.blame("wrong", f"{stream}: {record['id']} is not the id of {record['epoch']}-{last}")
    return spans


def _judge_order(verdict: Verdict, stream: str, places: Iterable[tuple[int, float]]) -> None:
    newest = (-1, -1.0)
    for place in places:
        if place < newest:
            verdict.blame("out_of_order", f"{stream}: {_text(place)} comes behind {_text(newest)}")
        newest = max(newest, place)


def _judge_coverage(
    verdict: Verdict, stream: str, frames: Sequence[Frame], spans: Mapping[int, list[Span]], over: Sequence[Span]
) -> None:
    reached = {epoch: _cover(verdict, f"{stream} {epoch}", own) for epoch, own in spans.items()}
    distinct = set(frames)
    verdict.acknowledged += sum(not frame.is_end for frame in distinct)
    for frame in sorted(distinct, key=lambda one: (one.epoch, one.sequence)):
        if frame.epoch not in reached and any(first < frame.epoch < last for first, last in over):
            verdict.skip("passed over", 1)
        elif frame.sequence > reached.get(frame.epoch, -1):
            what = "the end at " if frame.is_end else ""
            verdict.blame("lost", f"{stream}: {what}{frame.epoch}-{frame.sequence} has neither result nor gap")


def _passed_over(records: Sequence[Any]) -> list[Span]:
    """Epochs between which nobody has looked: an open gap of such a reason reaches to the stream's next record."""
    return [
        Span(one["epoch"], after["epoch"])
        for one, after in pairwise(records)
        if one["kind"] == "gap" and one["last"] is None and one["reason"] in ("stale", "expired")
    ]


def _cover(verdict: Verdict, name: str, spans: Iterable[Span]) -> float:
    """The number up to which all are answered for, from 0 on."""
    reach: float = -1
    for span in sorted(spans):
        if span.first <= reach:
            verdict.blame("doubled", f"{name}-{span.first:.0f} is there twice")
        elif span.first > reach + 1:
            count = int(span.first - reach - 1)
            verdict.blame("lost", f"{name}: {count} numbers before {span.first:.0f} are missing", count)
        reach = max(reach, span.last)
    return reach


def _judge_results(verdict: Verdict, stream: str, frames: Iterable[Frame], records: Iterable[Any]) -> None:
    there = {(frame.epoch, frame.sequence, frame.is_end) for frame in frames}
    for record in records:
        kind = record["kind"]
        verdict.results += kind == "frame"
        if kind != "gap" and (record["epoch"], record["sequence"], kind == "end") not in there:
            verdict.blame("wrong", f"{stream}: {kind} {record['id']} of which nothing is on the topic")


def _judge_reasons(verdict: Verdict, stream: str, frames: Iterable[Frame], records: Iterable[Any]) -> None:
    came, late = _in_order(frames)
    for gap in (record for record in records if record["kind"] == "gap"):
        verdict.gaps += 1
        reason, span = gap["reason"], _span(gap)
        counted = None if span.last == math.inf else span.last - span.first + 1
        if reason not in REASONS or gap["count"] != counted:
            verdict.blame("wrong", f"{stream}: gap {gap['id']} of {gap['count']} frames, {reason!r}")
        covered = [number for number in came[gap["epoch"]] if span.first <= number <= span.last]
        verdict.skip(reason, len(covered))
        verdict.skip("late", sum(span.first <= number <= span.last for number in late[gap["epoch"]]))
        if reason == "dropped" and covered:
            verdict.blame("wrong", f"{stream}: {gap['epoch']}-{covered[0]} is called dropped, and is on the topic")


def _in_order(frames: Iterable[Frame]) -> tuple[dict[int, list[int]], dict[int, list[int]]]:
    """Numbers per epoch of the frames that came first; and of those behind a newer one, which a worker ignores."""
    came: dict[int, list[int]] = defaultdict(list)
    late: dict[int, list[int]] = defaultdict(list)
    newest, seen = (-1, -1.0), set()
    for frame in frames:
        place = (frame.epoch, math.inf if frame.is_end else frame.sequence)
        if not frame.is_end and place not in seen:
            (came if place > newest else late)[frame.epoch].append(frame.sequence)
        seen.add(place)
        newest = max(newest, place)
    return came, late


def _place(number: str) -> tuple[int, int]:
    epoch, _, sequence = number.partition("-")
    return int(epoch), int(sequence)


def _text(place: tuple[int, float]) -> str:
    return f"{place[0]}-{place[1]:.0f}"
