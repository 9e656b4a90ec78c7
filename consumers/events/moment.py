"""When: by the source's time, which durations are made of, and by the capture's, which people read."""

from collections.abc import Sequence
from math import isfinite
from typing import NamedTuple, Self


class Moment(NamedTuple):
    """seconds: of the stream's own clock, never falling. ms: time of capture, since 1970."""

    seconds: float
    ms: int

    @classmethod
    def load(cls, saved: Sequence[float] | None) -> Self:
        """What was dumped as a list.

        Raises:
            TypeError, ValueError: it is none.
        """
        seconds, ms = saved or ()
        if not isfinite(seconds):
            raise ValueError("a time that is none")
        return cls(float(seconds), int(ms))
