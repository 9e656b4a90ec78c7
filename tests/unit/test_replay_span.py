"""Spans of a replay: how they are written, and which frames are within."""

from datetime import datetime

import pytest

from consumers.replay.span import Bound, Span, parse_span
from streamer.errors import UsageError
from streamer.records import FrameId
from tests.integration.worker_rig import header

NOW = datetime(2026, 11, 23, 12).timestamp()


def at(*moment: int) -> int:
    return round(datetime(*moment).timestamp() * 1000)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("begin", "end", "expected"),
    [
        (None, None, (None, None)),
        ("10m", None, (at(2026, 11, 23, 11, 50), None)),
        ("-10m", "-5m", (at(2026, 11, 23, 11, 50), at(2026, 11, 23, 11, 55))),
        ("07:00", "07:10:30", (at(2026, 11, 23, 7), at(2026, 11, 23, 7, 10, 30))),
        ("2026-11-20T07:00", "07:10", (at(2026, 11, 20, 7), at(2026, 11, 20, 7, 10))),
        ("2023-11-14T22:13:20Z", "2023-11-14T23:13:21+01:00", (1_700_000_000_000, 1_700_000_001_000)),
        ("1700000000000-17", "1700000000000:20", (FrameId(1_700_000_000_000, 17), FrameId(1_700_000_000_000, 20))),
        ("1-3", "1-3", (FrameId(1, 3), FrameId(1, 3))),
        ("1-3", "10m", (FrameId(1, 3), at(2026, 11, 23, 11, 50))),
    ],
)
def test_bounds(begin: str | None, end: str | None, expected: tuple[Bound | None, Bound | None]) -> None:
    assert parse_span(begin, end, NOW) == Span(*expected)


@pytest.mark.parametrize(
    ("begin", "end", "message"),
    [
        ("07:10", "07:00", "--to 07:00 is not behind --from 07:10"),
        ("07:10", "07:10", "--to 07:10 is not behind"),
        ("1-4", "1-3", "--to 1-3 is not behind --from 1-4"),
        ("yesterday", None, "'yesterday' is no time"),
        ("25:00", None, "is no time"),
    ],
)
def test_what_is_no_span_is_said(begin: str, end: str | None, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_span(begin, end, NOW)


@pytest.mark.parametrize(
    ("span", "before", "behind"),
    [
        (Span(), [], []),
        (Span(1002, 1004), [0, 1], [4, 5]),
        (Span(FrameId(1, 2), FrameId(1, 4)), [0, 1], [5]),
    ],
)
def test_frames_within(span: Span, before: list[int], behind: list[int]) -> None:
    heads = [header("gate", n, captured_ms=1000 + n) for n in range(6)]
    assert [head.id.sequence for head in heads if span.is_before(head)] == before
    assert [head.id.sequence for head in heads if span.is_behind(head)] == behind
