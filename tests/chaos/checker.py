"""Judges what the service wrote by docs/records.md and docs/events.md alone, and by the test's own journal of frames.

Every frame that is on topic `frames` has one result or is covered by one gap, in order per stream, and so is every
sequence number before it. Gaps say why, and truly (`reasons`); results are of their frames, events of their tracks
(`content`). Redis holds the newest records of Kafka, byte for byte, none missing in between (`mirrored`).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tests.chaos.content import judge_contents
from tests.chaos.journal import Frame
from tests.chaos.logs import Row
from tests.chaos.reasons import judge_journal, judge_reasons, passed_over
from tests.chaos.verdict import Circumstances, Span, Verdict, shown


def check_detections(
    verdict: Verdict, journal: Mapping[str, Sequence[Frame]], rows: Iterable[Row], around: Circumstances
) -> None:
    """Topic `detections`, of one pipeline, in the order of each partition."""
    for stream, own in by_stream(verdict, journal, rows).items():
        records = [row.record for row in own]
        frames = journal.get(stream, ())
        spans = _spans(verdict, stream, records)
        judge_order(verdict, stream, [(r["epoch"], Span.of(r).first) for r in records])
        judge_journal(verdict, stream, frames, around)
        _judge_coverage(verdict, stream, frames, spans, passed_over(frames, records))
        judge_contents(verdict, stream, frames, records)
        judge_reasons(verdict, stream, frames, records, around)


def check_events(verdict: Verdict, rows: Iterable[Row]) -> None:
    """Topic `events`, of one pipeline: in each epoch numbered from 0, without holes."""
    for stream, own in by_stream(verdict, {}, rows).items():
        places = [(row.record["epoch"], row.record["number"]) for row in own]
        verdict.events += len(places)
        judge_order(verdict, f"{stream} events", places)
        numbers = defaultdict(list)
        for epoch, number in places:
            numbers[epoch].append(Span(number, number))
        for epoch, spans in numbers.items():
            cover(verdict, f"{stream} event {epoch}", spans)


def by_stream(verdict: Verdict, journal: Mapping[str, Sequence[Frame]], rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Records by stream, of which all are on one partition, under its name."""
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


def judge_order(verdict: Verdict, stream: str, places: Iterable[tuple[int, float]]) -> None:
    """That none comes behind a later one."""
    newest = (-1, -1.0)
    for place in places:
        if place < newest:
            verdict.blame("out_of_order", f"{stream}: {shown(place)} comes behind {shown(newest)}")
        newest = max(newest, place)


def cover(verdict: Verdict, name: str, spans: Iterable[Span]) -> None:
    """That all numbers are answered for from 0 on, each once."""
    reach: float = -1
    for span in sorted(spans):
        if span.first <= reach:
            verdict.blame("doubled", f"{name}-{span.first:.0f} is there twice")
        elif span.first > reach + 1:
            count = int(span.first - reach - 1)
            verdict.blame("lost", f"{name}: {count} numbers before {span.first:.0f} are missing", count)
        reach = max(reach, span.last)


def _spans(verdict: Verdict, stream: str, records: Iterable[Any]) -> dict[int, list[tuple[Span, str]]]:
    """Of each epoch, and of which kind each is."""
    spans: dict[int, list[tuple[Span, str]]] = defaultdict(list)
    for record in records:
        spans[record["epoch"]].append((Span.of(record), record["kind"]))
        last = record.get("sequence", record.get("last"))
        if record["id"] != f"{record['epoch']}-{record['first'] if last is None else last}":
            verdict.blame("wrong", f"{stream}: {record['id']} is not the id of {record['epoch']}-{last}")
    return spans


def _judge_coverage(
    verdict: Verdict,
    stream: str,
    frames: Sequence[Frame],
    spans: Mapping[int, list[tuple[Span, str]]],
    over: Mapping[Frame, Any],
) -> None:
    """An end answers for itself alone: it is no word on frames of its run that come behind it."""
    reached: dict[int, float] = {}
    for epoch, own in spans.items():
        cover(verdict, f"{stream} {epoch}", [span for span, _ in own])
        reached[epoch] = max((span.last for span, kind in own if kind != "end"), default=-1)
    told = {(epoch, span.first) for epoch, own in spans.items() for span, kind in own if kind == "end"}
    distinct = {(frame.epoch, frame.sequence, frame.is_end): frame for frame in reversed(frames)}
    verdict.acknowledged += sum(not frame.is_end for frame in distinct.values())
    for (epoch, sequence, is_end), frame in sorted(distinct.items()):
        if frame in over or sequence <= reached.get(epoch, -1) or (is_end and (epoch, sequence) in told):
            continue
        what = "the end at " if is_end else ""
        verdict.blame("lost", f"{stream}: {what}{epoch}-{sequence} has neither result nor gap")
