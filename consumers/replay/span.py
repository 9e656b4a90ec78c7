"""From when to when, as people write it: by the time of capture, or by identity."""

import re
from dataclasses import dataclass
from datetime import datetime

from streamer.errors import UsageError
from streamer.moments import parse_moment
from streamer.records import FrameHeader, FrameId, rfc3339

_IDENTITY = re.compile(r"(\d+)[-:](\d+)")
_CLOCK = re.compile(r"\d\d:\d\d(:\d\d(\.\d+)?)?")

Bound = int | FrameId
"""A moment in ms since 1970, or a frame."""


@dataclass(frozen=True, slots=True)
class Span:
    """Frames from `begin` on and before `end`; a frame as `end` is the last one. None: no bound."""

    begin: Bound | None = None
    end: Bound | None = None

    def is_before(self, header: FrameHeader) -> bool:
        """Whether a frame comes before the span."""
        if isinstance(self.begin, FrameId):
            return header.id < self.begin
        return self.begin is not None and header.captured_ms < self.begin

    def is_behind(self, header: FrameHeader) -> bool:
        """Whether a frame comes behind the span; so do all later ones of its stream."""
        if isinstance(self.end, FrameId):
            return header.id > self.end
        return self.end is not None and header.captured_ms >= self.end

    @property
    def begin_ms(self) -> int | None:
        """The moment at which it begins; None: a frame, or no bound."""
        return None if isinstance(self.begin, FrameId) else self.begin

    @property
    def end_ms(self) -> int | None:
        """The moment at which it ends; None: a frame, or no bound."""
        return None if isinstance(self.end, FrameId) else self.end

    def __str__(self) -> str:
        return f"{_text(self.begin, 'the oldest frame')} .. {_text(self.end, 'the newest frame')}"


def parse_span(begin: str | None, end: str | None, now: float) -> Span:
    """The span between two texts: a time (see parse_moment), one of the clock (07:10), EPOCH-SEQUENCE; None: no bound.

    now: in seconds since 1970. A time of the clock is one of today; that of the end one of the day of the begin.

    Raises:
        UsageError: one of them is neither, or the end comes before the begin.
    """
    first = None if begin is None else _bound(begin, now, now)
    day = first / 1000 if isinstance(first, int) else now
    last = None if end is None else _bound(end, now, day)
    if type(first) is type(last) and first is not None:
        # A single frame is a span, a single moment is none.
        wrong = last < first if isinstance(last, FrameId) else last <= first  # type: ignore[operator]
        if wrong:
            raise UsageError(f"--to {end} is not behind --from {begin}: exchange them")
    return Span(first, last)


def _bound(text: str, now: float, day: float) -> Bound:
    if _CLOCK.fullmatch(text):
        text = f"{datetime.fromtimestamp(day):%Y-%m-%d}T{text}"
    elif identity := _IDENTITY.fullmatch(text):
        return FrameId(int(identity[1]), int(identity[2]))
    return round(parse_moment(text.removeprefix("-"), now) * 1000)


def _text(bound: Bound | None, default: str) -> str:
    if bound is None:
        return default
    return str(bound) if isinstance(bound, FrameId) else rfc3339(bound)
