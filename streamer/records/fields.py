"""Values in JSON records: checked as they are read, written so that they come back the same."""

from datetime import datetime


def text(value: object) -> str:
    """A text.

    Raises:
        TypeError: it is none.
    """
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.80} is no text")
    return value


def integer(value: object) -> int:
    """An integer.

    Raises:
        TypeError: it is none.
    """
    if type(value) is not int:  # a bool is an int too
        raise TypeError(f"{value!r:.80} is no integer")
    return value


def count(value: object) -> int:
    """An integer from 0 on.

    Raises:
        TypeError, ValueError: it is none.
    """
    number = integer(value)
    if number < 0:
        raise ValueError(f"{number} is negative")
    return number


def real(value: object) -> float:
    """A number.

    Raises:
        TypeError: it is none.
    """
    if type(value) is float:
        return value
    return float(integer(value))


def parse_rfc3339(moment: str) -> int:
    """RFC 3339 as ms since 1970.

    Raises:
        ValueError: it is no time with a zone from 1970 on.
    """
    parsed = datetime.fromisoformat(moment)
    if parsed.tzinfo is None:
        raise ValueError(f"time {moment} without its zone")
    ms = round(parsed.timestamp() * 1000)
    if ms < 0:
        raise ValueError(f"time {moment} before 1970")
    return ms
