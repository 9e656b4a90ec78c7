"""Points in time, as people write them."""

import time
from datetime import datetime

from streamer.errors import UsageError

Moment = datetime | float | str
"""A point in time; a float: seconds since 1970; a datetime without a zone: local time; a text: see `parse_moment`."""

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def unix_ms() -> int:
    """Milliseconds since 1970 by the machine's clock, as records tell times."""
    return time.time_ns() // 1_000_000


def unix_seconds(moment: Moment) -> float:
    """Seconds since 1970.

    Raises:
        UsageError: a text that is no time.
    """
    if isinstance(moment, str):
        return parse_moment(moment, time.time())
    return moment.timestamp() if isinstance(moment, datetime) else moment


def parse_moment(text: str, now: float) -> float:
    """Seconds since 1970 from `10m` (ago; s, m, h, d), an ISO 8601 time (local unless it names a zone) or seconds.

    Raises:
        UsageError: it is none of these.
    """
    try:
        if text[-1:] in _UNITS:
            ago = float(text[:-1]) * _UNITS[text[-1]]
            return datetime.fromtimestamp(now - ago).timestamp()  # refuses what is no moment, such as infinity
        if text.replace(".", "", 1).isdigit() and len(text) > 8:
            return float(text)
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        raise UsageError(
            f"{text!r} is no time: write 10m (s, m, h, d: so long ago), 2026-01-31T12:00 or 2026-01-31T12:00:00Z"
        ) from None
