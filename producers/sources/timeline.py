"""A source's time stamps, made fit for pacing and sampling: seconds from the start that never go back."""

import time
from fractions import Fraction

_JUMP_S = 1.0
_FALLBACK_PERIOD_S = 1 / 25


class Timeline:
    """Presentation times of one run, in order of presentation.

    A missing time stamp is one period after the last; one that goes back a little repeats the last; one that
    goes back by more than a second (a camera that set its clock, files joined end to end) continues from it.

    Where presentation times go back again and again but decoding times don't, the decoding times are used: old
    AVI files (packed B-frames) are like that. FFmpeg's guess_correct_pts (libavcodec/decode.c) has the same rule.
    """

    def __init__(self, time_base: Fraction | None, rate: Fraction | None, origin: int | None = None) -> None:
        self._tick = float(time_base or Fraction(1, 1_000_000))
        self._period = float(1 / rate) if rate else _FALLBACK_PERIOD_S
        self._origin = origin
        self._shift = 0.0
        self._last: float | None = None
        self._last_pts: int | None = None
        self._last_dts: int | None = None
        self._wrong_pts = self._wrong_dts = 0

    def seconds(self, pts: int | None, dts: int | None) -> float:
        """Seconds since the source's start of the next picture."""
        stamp = self._trusted(pts, dts)
        last = self._last
        if stamp is None:
            now = 0.0 if last is None else last + self._period
        else:
            if self._origin is None:
                self._origin = stamp
            now = (stamp - self._origin) * self._tick + self._shift
            if last is not None and now < last:
                now = self._went_back(now, last)
        # A first picture before the declared start is at the start.
        self._last = max(now, 0.0)
        return self._last

    def _went_back(self, now: float, last: float) -> float:
        if now > last - _JUMP_S:
            return last
        self._shift += last + self._period - now
        return last + self._period

    def _trusted(self, pts: int | None, dts: int | None) -> int | None:
        if pts is not None:
            self._wrong_pts += self._last_pts is not None and pts <= self._last_pts
            self._last_pts = pts
        if dts is not None:
            self._wrong_dts += self._last_dts is not None and dts <= self._last_dts
            self._last_dts = dts
        if pts is not None and (self._wrong_pts <= self._wrong_dts or dts is None):
            return pts
        return dts


class ArrivalTimeline:
    """Times of arrival, for live sources that send none of their own."""

    def __init__(self) -> None:
        self._start: float | None = None
        self._now: float | None = None

    def seconds(self, pts: int | None, dts: int | None) -> float:
        """Seconds since the first packet, of the newest one."""
        return self.arrived() if self._now is None else self._now

    def arrived(self) -> float:
        """A packet is here now; its seconds since the first one."""
        now = time.monotonic()
        if self._start is None:
            self._start = now
        self._now = now - self._start
        return self._now
