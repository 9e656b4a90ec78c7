"""Lines for people: what they say of each kind of record."""

import pytest

from streamer.commands.lines import human_line, objects_text
from streamer.records import (
    BBox,
    DetectedObject,
    Detection,
    Direction,
    End,
    Event,
    EventKind,
    FrameId,
    Gap,
    GapReason,
    Result,
)


def result(*classes: str, **more: object) -> Result:
    objects = tuple(DetectedObject(str(i), BBox(0, 0, 1, 1), name, 0.5) for i, name in enumerate(classes))
    return Result("main", "gate", FrameId(17, 4), 0, 8, 8, objects, **more)  # type: ignore[arg-type]


def event(kind: EventKind, place: str = "", direction: Direction | None = None, **counts: int) -> Event:
    who = DetectedObject("5", BBox(0, 0, 1, 1), "car", 0.5)
    return Event("main", "gate", FrameId(17, 4), 9, "17-7", kind, who, 0, 0, 2.0, place, direction, counts)


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (result(), "gate  17-4  -"),
        (event(EventKind.NEW), "gate  17-9  car 5: new, 2.0 s"),
        (
            event(EventKind.LEAVE, "door", inside=0, entered=3),
            "gate  17-9  car 5: leave door, 2.0 s, inside 0, entered 3",
        ),
        (
            event(EventKind.CROSS, "kerb", Direction.LEFT, left=1, right=0),
            "gate  17-9  car 5: cross kerb to the left, 2.0 s, left 1, right 0",
        ),
        (result("car", "person", "person"), "gate  17-4  person 2, car 1"),
        (result("car", latency_ms={"decode": 1.5, "detect": 20.0}), "gate  17-4  car 1  (22 ms)"),
        (result("\x1b[2Jcar\n"), "gate  17-4  \\x1b[2Jcar\\n 1"),
        (
            Gap("main", "gate", FrameId(17, 4), 9, GapReason.STALE, 0),
            "gate  17-9  no results for 4..9: 6 frames stale",
        ),
        (
            Gap("main", "gate", FrameId(17, 4), 4, GapReason.DEAD, 0, "no JPEG"),
            "gate  17-4  no results for 4..4: 1 frame dead (no JPEG)",
        ),
        (
            Gap("main", "gate", FrameId(17, 4), None, GapReason.DROPPED, 0),
            "gate  17-4  no results for 4..end: unknown number of frames dropped",
        ),
        (End("main", "gate", FrameId(17, 40), 0), "gate  17-40  end of the run: 40 frames"),
        (
            End("main", "gate", FrameId(17, 0), 0, "no such file"),
            "gate  17-0  end of the run: 0 frames; failed: no such file",
        ),
    ],
)
def test_line(record: Detection | Event, expected: str) -> None:
    moment, _, line = human_line(record).partition("  ")
    assert line == expected
    assert moment.endswith(":00.000")


def test_objects_are_sorted_by_number_then_name() -> None:
    assert objects_text({"b": 1, "c": 3, "a": 1}) == "c 3, a 1, b 1"
