"""What the records of a run add up to, per stream: for tables that people look at."""

import time
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median

from streamer.records import Detection, End, Gap, Result

RATE_S = 5.0  # over how long the present rate is taken
AGES = 32  # over how many results the present age is


@dataclass
class Tally:
    """One stream so far. Every captured frame is in `results` or in `skipped`: gaps are inferred from numbers."""

    results: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    unknown: bool = False  # a gap of unknown length is among them: the numbers are lower bounds
    objects: Counter[str] = field(default_factory=Counter)
    ended: bool = False
    error: str = ""
    first_at: float = 0.0  # monotonic seconds, when its first record came to us
    last_at: float = 0.0
    _moments: deque[float] = field(default_factory=deque)
    _ages_ms: deque[float] = field(default_factory=lambda: deque(maxlen=AGES))

    @property
    def frames(self) -> int:
        """Captured, as far as is known here."""
        return self.results + self.skipped.total()

    @property
    def age_ms(self) -> float | None:
        """From capture to us: median of the last results."""
        return median(self._ages_ms) if self._ages_ms else None

    @property
    def mean_rate(self) -> float:
        """Results per second, all in all."""
        seconds = self.last_at - self.first_at
        return (self.results - 1) / seconds if seconds > 0 and self.results > 1 else 0.0

    def present_rate(self, now: float) -> float:
        """Results per second, over the last RATE_S."""
        while self._moments and now - self._moments[0] > RATE_S:
            self._moments.popleft()
        return len(self._moments) / min(max(now - self.first_at, 1.0), RATE_S)

    def add(self, record: Detection, now: float, now_ms: float) -> None:
        """Takes one record in. now: monotonic seconds; now_ms: since 1970."""
        if not self.first_at:
            self.first_at = now
        self.last_at = now
        match record:
            case Result():
                self.results += 1
                self.objects.update(o.type for o in record.objects)
                self.ended = False  # a source that began again
                self._moments.append(now)
                self._ages_ms.append(now_ms - record.captured_ms)
            case Gap():
                self.skipped[record.reason.value] += record.count or 0
                self.unknown |= record.count is None
            case End():
                self.ended, self.error = True, record.error


class Tallies:
    """All streams so far, in the order in which they appeared."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self.of = {name: Tally() for name in names}

    def add(self, record: Detection) -> None:
        """Takes one record in."""
        self.of.setdefault(record.stream, Tally()).add(record, time.monotonic(), time.time() * 1000)

    @property
    def results(self) -> int:
        """Of all streams."""
        return sum(tally.results for tally in self.of.values())

    @property
    def ended(self) -> int:
        """How many streams are over."""
        return sum(tally.ended for tally in self.of.values())

    @property
    def failed(self) -> dict[str, str]:
        """Stream -> why its source failed."""
        return {name: tally.error for name, tally in self.of.items() if tally.error}
