"""What a training shows while it runs: a bar with the time left on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Mapping

EVERY_S = 60.0
"""Seconds between two lines where there is no terminal."""


class Progress:
    """Of a training of `epochs` times `steps` batches; prints to stderr."""

    def __init__(self, epochs: int, steps: int) -> None:
        self._epochs, self._steps = epochs, steps
        self._shown = self._started = time.monotonic()
        self._first: int | None = None
        self._terminal = sys.stderr.isatty()

    def note(self, line: str) -> None:
        """A line that stays."""
        print(f"\r\033[K{line}" if self._terminal else line, file=sys.stderr, flush=True)

    def step(self, epoch: int, step: int, size: int, loss: float) -> None:
        """So many batches of an epoch are done."""
        now, done = time.monotonic(), epoch * self._steps + step
        if self._first is None:
            self._first, self._started = done, now
        if now - self._shown < (0.2 if self._terminal else EVERY_S):
            return
        self._shown = now
        line = f"epoch {epoch + 1}/{self._epochs} batch {step}/{self._steps} at {size} pixels: loss {loss:.3f}"
        line += self._time_left(done, now)
        if self._terminal:
            print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)
        else:
            print(line, file=sys.stderr, flush=True)

    def epoch(self, row: Mapping[str, float]) -> None:
        """An epoch is over; row: of the training's history."""
        found = "".join(f", {name} {row[name]:.3f}" for name in ("AP50", "AP") if name in row)
        self.note(
            f"epoch {row['epoch'] + 1}/{self._epochs} at {row['size']} pixels: loss {row['loss']:.3f} "
            f"(classes {row['classes']:.3f}, boxes {row['boxes']:.3f}){found}, {row['seconds']:.0f} s"
        )

    def _time_left(self, done: int, now: float) -> str:
        if self._first is None or done <= self._first:
            return ""
        seconds = (now - self._started) / (done - self._first) * (self._epochs * self._steps - done)
        minutes = round(seconds / 60)
        return f", {minutes // 60}:{minutes % 60:02} h left" if minutes else ", less than a minute left"
