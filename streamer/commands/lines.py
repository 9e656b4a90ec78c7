"""Records as lines for people."""

import time
from collections import Counter
from collections.abc import Mapping

from streamer.records import Detection, End, Event, Gap, Result


def human_line(record: Detection | Event) -> str:
    """One line without control characters, whatever a model's metadata or a camera says.

    >>> from streamer.records import FrameId
    >>> human_line(End("main", "gate", FrameId(1700000000000, 40), 1700000000000)).partition("  ")[2]
    'gate  1700000000000-40  end of the run: 40 frames'
    """
    match record:
        case Result():
            when, what = record.captured_ms, _found(record)
        case Gap():
            when, what = record.recorded_ms, _missing(record)
        case End():
            when, what = record.recorded_ms, f"end of the run: {record.id.sequence} frames"
            what += f"; failed: {record.error}" if record.error else ""
        case Event():
            when, what = record.ended_ms, _happened(record)
    moment = time.strftime("%H:%M:%S", time.localtime(when / 1000)) + f".{when % 1000:03d}"
    return printable(f"{moment}  {record.stream}  {record.redis_id}  {what}")


def objects_text(classes: Mapping[str, int]) -> str:
    """`person 3, car 1`, the most frequent first; `-` if there is none."""
    in_order = sorted(classes.items(), key=lambda item: (-item[1], item[0]))
    return printable(", ".join(f"{name} {count}" for name, count in in_order) or "-")


def printable(text: str) -> str:
    """Without the characters that steer a terminal."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _found(result: Result) -> str:
    objects = objects_text(Counter(o.type for o in result.objects))
    spent = sum(result.latency_ms.values())
    return f"{objects}  ({spent:.0f} ms)" if result.latency_ms else objects


def _happened(event: Event) -> str:
    where = f" {event.place}" if event.place else ""
    way = f" to the {event.direction}" if event.direction else ""
    counts = "".join(f", {name} {number}" for name, number in event.counts.items())
    return f"{event.object.type} {event.object.id}: {event.kind}{where}{way}, {event.seconds:.1f} s{counts}"


def _missing(gap: Gap) -> str:
    last = "end" if gap.last_sequence is None else gap.last_sequence
    frames = "unknown number of frames" if gap.count is None else f"{gap.count} frames" if gap.count > 1 else "1 frame"
    return f"no results for {gap.first.sequence}..{last}: {frames} {gap.reason}" + (
        f" ({gap.detail})" if gap.detail else ""
    )
