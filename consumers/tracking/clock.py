"""The tracker's and the events' own time: never falls, whatever the source's clock does."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from math import isfinite
from typing import Any, Self

_USUAL_S = 0.1  # between frames, until the stream has shown its own
_WEIGHT = 0.1  # of a new interval in the usual one
_PAUSES = 4.0  # intervals longer than so many usual ones are pauses, and say nothing about the usual one
_LARGEST_S = 1e12  # of a source's time; what is beyond is none


@dataclass(frozen=True, slots=True)
class Clock:
    """Time since the stream's first frame, as far as the source's clock went forwards.

    A source's time may stand still (two frames with one time stamp), fall (a camera's clock was set) or jump ahead
    (frames are missing, or the clock was set: nobody can tell, so it counts as time that went by).

    us: microseconds, whole ones, so that times that were added up are still equal to those that were not.
    step: what to move objects by to this frame, in seconds, never 0: where the source's clock did not go forwards,
        objects did all the same, by about a usual interval.
    usual: interval between frames, in seconds. last: the source's time of this frame in us; None before the first.
    """

    us: int = 0
    step: float = 0.0
    usual: float = _USUAL_S
    last: int | None = None

    @property
    def now(self) -> float:
        """In seconds."""
        return self.us / 1e6

    def tick(self, seconds: float) -> Self:
        """At a frame with this source time. What is no number counts as a time that stands still."""
        if not (isfinite(seconds) and abs(seconds) < _LARGEST_S):
            return replace(self, step=self.usual)
        source = round(seconds * 1e6)
        gone = 0 if self.last is None else source - self.last
        if gone <= 0:
            return replace(self, step=self.usual, last=source)
        return type(self)(self.us + gone, gone / 1e6, self._usual_after(gone / 1e6), source)

    def _usual_after(self, gone: float) -> float:
        if self.us == 0:
            return gone
        return self.usual + _WEIGHT * (gone - self.usual) if gone <= _PAUSES * self.usual else self.usual

    def dump(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    @classmethod
    def load(cls, saved: Mapping[str, Any]) -> Self:
        """What `dump` gave.

        Raises:
            KeyError, TypeError, ValueError: it is none.
        """
        step, usual, last = float(saved["step"]), float(saved["usual"]), saved["last"]
        if not isfinite(step) or not isfinite(usual) or usual <= 0:
            raise ValueError("a clock without its times")
        return cls(int(saved["us"]), step, usual, None if last is None else int(last))
