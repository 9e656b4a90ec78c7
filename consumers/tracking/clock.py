"""The tracker's and the events' own time: never falls, whatever the source's clock does."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from math import isfinite
from typing import Any, Self

_USUAL_S = 0.1  # between frames, until the stream has shown its own
_WEIGHT = 0.1  # of a new interval in the usual one
_PAUSES = 4.0  # intervals longer than so many usual ones are pauses, and say nothing about the usual one


@dataclass(frozen=True, slots=True)
class Clock:
    """Seconds since the stream's first frame, as far as the source's clock went forwards.

    A source's time may stand still (two frames with one time stamp), fall (a camera's clock was set) or jump ahead
    (frames are missing, or the clock was set: nobody can tell, so it counts as time that went by).

    now: seconds. step: what to move objects by to this frame, in seconds, never 0: where the source's clock did
        not go forwards, objects did all the same, by about a usual interval.
    usual: interval between frames, in seconds. last: the source's time of this frame; None before the first.
    """

    now: float = 0.0
    step: float = 0.0
    usual: float = _USUAL_S
    last: float | None = None

    def tick(self, seconds: float) -> Self:
        """At a frame with this source time. A time that is no finite number counts as one that stands still."""
        if not isfinite(seconds):
            return replace(self, step=self.usual)
        if self.last is None:
            return replace(self, step=self.usual, last=seconds)
        gone = seconds - self.last
        if gone <= 0:
            return replace(self, step=self.usual, last=seconds)
        usual = self.usual
        if gone <= _PAUSES * usual or self.now == 0:
            usual += _WEIGHT * (gone - usual) if self.now else gone - usual
        return type(self)(self.now + gone, gone, usual, seconds)

    def dump(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    @classmethod
    def load(cls, saved: Mapping[str, Any]) -> Self:
        """What `dump` gave.

        Raises:
            KeyError, TypeError, ValueError: it is none.
        """
        last = saved["last"]
        now, step, usual = (float(saved[name]) for name in ("now", "step", "usual"))
        if not all(map(isfinite, (now, step, usual, last or 0.0))) or usual <= 0:
            raise ValueError("a clock without its times")
        return cls(now, step, usual, None if last is None else float(last))
