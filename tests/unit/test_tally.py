"""What records add up to, and the tables that show it."""

import io

import pytest
from rich.console import Console

from streamer.commands.tables import live_lines, live_table, summary_table
from streamer.commands.tally import Tallies, Tally
from streamer.records import BBox, DetectedObject, Detection, End, FrameId, Gap, GapReason, Result


def result(sequence: int, *classes: str, captured_ms: int = 0) -> Result:
    objects = tuple(DetectedObject(str(i), BBox(0, 0, 1, 1), name, 0.5) for i, name in enumerate(classes))
    return Result("main", "gate", FrameId(1, sequence), captured_ms, 8, 8, objects)


def gap(first: int, last: int | None, reason: GapReason) -> Gap:
    return Gap("main", "gate", FrameId(1, first), last, reason, 0)


def end(sequence: int, error: str = "") -> End:
    return End("main", "gate", FrameId(1, sequence), 0, error)


def tallied(*records: Detection) -> Tallies:
    tallies = Tallies(["gate", "yard"])
    for record in records:
        tallies.add(record)
    return tallies


def test_every_captured_frame_is_in_results_or_skipped() -> None:
    tallies = tallied(
        result(0, "person", "car"), gap(1, 3, GapReason.STALE), result(4, "person"), gap(5, 5, GapReason.DEAD), end(6)
    )
    tally = tallies.of["gate"]
    assert (tally.frames, tally.results) == (6, 2)
    assert tally.skipped == {"stale": 3, "dead": 1}
    assert tally.objects == {"person": 2, "car": 1}
    assert (tallies.ended, tallies.failed, tallies.results) == (1, {}, 2)


def test_a_failed_source_ends_too_and_one_that_begins_again_goes_on() -> None:
    tallies = tallied(result(0), end(1, "invalid data"))
    assert (tallies.ended, tallies.failed) == (1, {"gate": "invalid data"})
    tallies.add(result(0))
    assert tallies.ended == 0


def test_rates_and_ages_are_those_of_now() -> None:
    tally = Tally()
    for number in range(100):
        tally.add(result(number, captured_ms=number * 100), now=10 + number / 10, now_ms=number * 100 + 40)
    assert tally.age_ms == 40
    assert tally.mean_rate == pytest.approx(10)
    assert tally.present_rate(19.9) == pytest.approx(10, rel=0.05)
    assert tally.present_rate(60) == 0


def drawn(table: object) -> str:
    console = Console(file=io.StringIO(), width=160)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([], ["gate", "waiting for the first frame"]),
        ([result(0, "person"), gap(1, 2, GapReason.STALE)], ["gate 3 1 2 stale", "person 1 running"]),
        ([gap(0, None, GapReason.EXPIRED)], ["gate 0+ 0 0 expired"]),
        ([result(0), end(1)], ["ended"]),
        ([end(0, "no \x1b[31msuch file")], ["failed: no \\x1b[31msuch file"]),
    ],
)
def test_live_table(records: list[Detection], expected: list[str]) -> None:
    row = next(line for line in drawn(live_table(tallied(*records))).splitlines() if line.startswith("gate"))
    for words in expected:
        assert words in " ".join(row.split())


def test_live_lines_say_the_same() -> None:
    line = live_lines(tallied(result(0, "person"), gap(1, 2, GapReason.STALE)))[0]
    assert line.startswith("gate: 3 in, 1 done, 2 stale, ")
    assert line.endswith("person 1, running")


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([result(0, "person"), end(1)], "gate 1 1 - 0.0 person 1 complete"),
        ([end(0, "no such file")], "gate 0 0 - 0.0 - failed: no such file"),
        ([], "gate 0 0 - 0.0 - not finished"),
    ],
)
def test_summary(records: list[Detection], expected: str) -> None:
    rows = [" ".join(line.split()) for line in drawn(summary_table(tallied(*records))).splitlines()]
    assert expected in rows
