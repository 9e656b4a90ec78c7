"""When: by the source's time, which durations are made of, and by the capture's, which people read."""

from collections.abc import Sequence
from typing import NamedTuple, Self


class Moment(NamedTuple):
    """us: of the stream's own clock, in microseconds, never falling. ms: time of capture, since 1970."""

    us: int
    ms: int

    @classmethod
    def load(cls, saved: Sequence[int] | None) -> Self:
        """What was dumped as a list.

        Raises:
            TypeError, ValueError: it is none.
        """
        us, ms = saved or ()
        return cls(int(us), int(ms))

    def since(self, earlier: "Moment") -> float:
        """Seconds from then to now."""
        return (self.us - earlier.us) / 1e6
