"""What is in the records: results of their frames, events of their tracks, dead frames of their gaps."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tests.chaos.journal import Frame
from tests.chaos.logs import Dead, Row
from tests.chaos.reasons import in_order
from tests.chaos.verdict import Circumstances, Span, Verdict

_MANY = 10
"""So many results with objects in a run are enough for a track: 3 boxes within 2 s are, says docs/events.md."""


def judge_contents(verdict: Verdict, stream: str, frames: Iterable[Frame], records: Iterable[Any]) -> None:
    """That each result, and each end, is of a frame on the topic, of its time and its picture's size."""
    there: dict[tuple[int, int, bool], Frame] = {}
    for frame in frames:
        there.setdefault((frame.epoch, frame.sequence, frame.is_end), frame)
    for record in records:
        kind = record["kind"]
        verdict.results += kind == "frame"
        if kind == "gap":
            continue
        frame_there = there.get((record["epoch"], record["sequence"], kind == "end"))
        if frame_there is None:
            verdict.blame("wrong", f"{stream}: {kind} {record['id']} of which nothing is on the topic")
            continue
        if record["timestamp"] != frame_there.time:
            verdict.blame("wrong", f"{stream}: {record['id']} is of {frame_there.time}, not {record['timestamp']}")
        if kind == "frame":
            _judge_picture(verdict, stream, frame_there, record)


def _judge_picture(verdict: Verdict, stream: str, frame: Frame, record: Any) -> None:
    size = width, height = record["width"], record["height"]
    if size != frame.size:
        verdict.blame("wrong", f"{stream}: {record['id']} is of a picture of {frame.size}, not {size}")
    boxes = [one["bbox"] for one in (*record["objects"], *record.get("candidates", ()))]
    if not all(
        0 <= box["leftX"] <= box["rightX"] <= width and 0 <= box["topY"] <= box["bottomY"] <= height for box in boxes
    ):
        verdict.blame("wrong", f"{stream}: {record['id']} has a box beyond its picture")


def check_tracks(verdict: Verdict, rows: Iterable[Row], events: Iterable[Row], around: Circumstances) -> None:
    """Every track that results show has one event that says that it is new; streams that aren't tracked have none.

    rows: of `detections`.
    """
    shown: dict[tuple[str, int, str], None] = {}
    seen: Counter[tuple[str, int]] = Counter()
    for record in (row.record for row in rows if row.record["kind"] == "frame"):
        run = record["sensorId"], record["epoch"]
        seen[run] += bool(record["objects"])
        if around.of(run[0]).tracked:
            shown |= {(*run, one["id"]): None for one in record["objects"] if _is_confirmed(one)}
    new = Counter(_object_of(row.record) for row in events if row.record["event"]["type"] == "new")
    for stream, epoch, number in shown.keys() - new.keys():
        verdict.blame("lost", f"{stream}: nothing says that {number} of {epoch} is new")
    for stream, epoch, number in (one for one, count in new.items() if count > 1):
        verdict.blame("doubled", f"{stream}: {number} of {epoch} is new more than once")
    for stream in {stream for stream, _, _ in new if not around.of(stream).tracked}:
        verdict.blame("wrong", f"{stream}: events, and nothing is tracked")
    for stream, epoch in seen.keys() - {one[:2] for one in shown}:
        if around.of(stream).tracked and seen[stream, epoch] >= _MANY:
            verdict.blame("lost", f"{stream}: no track in {seen[stream, epoch]} results of {epoch}")


def _is_confirmed(one: Any) -> bool:
    return bool(one["id"]) and one["info"].get("track") != "tentative"


def _object_of(event: Any) -> tuple[str, int, str]:
    return event["sensor"]["id"], event["epoch"], event["object"]["id"]


def check_dead(
    verdict: Verdict,
    journal: Mapping[str, Sequence[Frame]],
    strangers: Iterable[tuple[int, int]],
    rows: Iterable[Row],
    dead: Iterable[Dead],
) -> None:
    """Topic `frames.dead` has each frame of a gap `dead` once, and each stranger's record; nothing else.

    strangers: partitions and offsets on `frames`. rows: of `detections`.
    """
    came = {stream: in_order(frames)[0] for stream, frames in journal.items()}
    expected = dict.fromkeys(strangers, "a stranger's record")
    for record in (row.record for row in rows):
        if record["kind"] == "gap" and record["reason"] == "dead":
            span = Span.of(record)
            for frame in came.get(record["sensorId"], {}).get(record["epoch"], ()):
                if span.first <= frame.sequence <= span.last:
                    name = f"{frame.stream} {frame.epoch}-{frame.sequence}"
                    expected[frame.partition, frame.offset] = name
    found = Counter((one.partition, one.offset) for one in dead)
    for place in expected.keys() - found.keys():
        verdict.blame("lost", f"frames.dead lacks {expected[place]}, {place[1]} of partition {place[0]}")
    for place, count in found.items():
        if count > 1:
            verdict.blame("doubled", f"{place[1]} of partition {place[0]} is {count} times on frames.dead")
        if place not in expected:
            verdict.blame("wrong", f"{place[1]} of partition {place[0]} is on frames.dead, and in no gap")
