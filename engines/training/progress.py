"""What a training shows while it runs: a bar with the time left on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Mapping

from engines.training.schedule import Schedule

EVERY_S = 60.0
"""Seconds between two lines where there is no terminal."""


class Progress:
    """Of a training; prints to stderr."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._shown = self._started = time.monotonic()
        self._before: int | None = None  # work that was done when this started
        self._terminal = sys.stderr.isatty()

    def note(self, line: str) -> None:
        """A line that stays."""
        print(f"\r\033[K{line}" if self._terminal else line, file=sys.stderr, flush=True)

    def due(self) -> bool:
        """Whether it is time for another look; a look costs the device a wait."""
        return time.monotonic() - self._shown > (0.5 if self._terminal else EVERY_S)

    def step(self, epoch: int, step: int, loss: float) -> None:
        """So many batches of an epoch are done."""
        schedule, self._shown = self._schedule, time.monotonic()
        line = (
            f"epoch {epoch + 1}/{schedule.epochs} batch {step}/{schedule.steps} at {schedule.size_at(epoch)} pixels: "
            f"loss {loss:.3f}{self._time_left(epoch, step)}"
        )
        if self._terminal:
            print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)
        else:
            print(line, file=sys.stderr, flush=True)

    def epoch(self, row: Mapping[str, float]) -> None:
        """An epoch is over; row: of the training's history."""
        found = "".join(f", {name} {row[name]:.3f}" for name in ("AP50", "AP", "accuracy") if name in row)
        parts = ", ".join(f"{name} {row[name]:.3f}" for name in ("classes", "boxes") if name in row)
        self.note(
            f"epoch {row['epoch'] + 1}/{self._schedule.epochs} at {row['size']} pixels: loss {row['loss']:.3f}"
            f"{f' ({parts})' if parts else ''}{found}, {row['seconds']:.0f} s"
        )

    def _time_left(self, epoch: int, step: int) -> str:
        done = self._schedule.work_until(epoch, step)
        if self._before is None:
            self._before, self._started = done, time.monotonic()
        if done <= self._before:
            return ""
        left = self._schedule.work_until(self._schedule.epochs) - done
        return _left((time.monotonic() - self._started) / (done - self._before) * left)


class Counting:
    """Of work on pictures, one by one, to be called after each; prints to stderr.

    Args:
        what: is being done.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._shown = self._started = time.monotonic()
        self._before: int | None = None  # pictures that were done when this started
        self._terminal = sys.stderr.isatty()

    def __call__(self, done: int, of: int) -> None:
        """So many pictures are done, of how many."""
        now = time.monotonic()
        self._before = done - 1 if self._before is None else self._before
        if done < of and now - self._shown <= (0.5 if self._terminal else EVERY_S):
            return
        self._shown = now
        left = _left((now - self._started) / (done - self._before) * (of - done)) if done < of else ""
        start, end = ("\r\033[K", "" if left else "\n") if self._terminal else ("", "\n")
        print(f"{start}{self._what}: {done} of {of} pictures{left}", end=end, file=sys.stderr, flush=True)


def _left(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f", {minutes // 60}:{minutes % 60:02} h left" if minutes else ", less than a minute left"
