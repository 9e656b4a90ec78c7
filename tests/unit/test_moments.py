"""Points in time as people write them."""

from datetime import datetime

import pytest

from streamer.errors import UsageError
from streamer.moments import parse_moment
from streamer.results import Results


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", 1_700_000_000 - 90),
        ("1.5m", 1_700_000_000 - 90),
        ("2h", 1_700_000_000 - 7200),
        ("1d", 1_700_000_000 - 86400),
        ("1700000000.5", 1_700_000_000.5),
        ("2023-11-14T22:13:20Z", 1_700_000_000),
        ("2023-11-14T23:13:20+01:00", 1_700_000_000),
        ("2023-11-14 22:13:20", datetime(2023, 11, 14, 22, 13, 20).timestamp()),
        ("2023-11-14", datetime(2023, 11, 14).timestamp()),
    ],
)
def test_moments(text: str, expected: float) -> None:
    assert parse_moment(text, now=1_700_000_000) == expected


@pytest.mark.parametrize("text", ["", "m", "yesterday", "10", "10x", "2023-13-01", "1e999d", "nan"])
def test_times_that_are_none_are_answered_with_how_to_write_one(text: str) -> None:
    with pytest.raises(UsageError, match="write 10m"):
        parse_moment(text, now=0)


def test_a_reader_says_at_once_how_a_time_is_written() -> None:
    with pytest.raises(UsageError, match="write 10m"):
        Results(since="yesterday")
    with pytest.raises(UsageError, match="write 10m"):
        Results(until="now")
