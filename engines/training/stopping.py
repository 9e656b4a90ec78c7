"""When a training ends before it is finished: at its deadline, or when somebody says so."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stopped(Exception):
    """Work was left off because it was time to; what is done of it is on disk."""


class Stopping:
    """Whether it is time to save and end.

    deadline: of time.monotonic(); infinite if there is none.
    """

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self._signal: int | None = None

    def __call__(self) -> bool:
        """Whether the deadline has passed or a signal came."""
        return self._signal is not None or time.monotonic() > self._deadline

    @property
    def reason(self) -> str:
        """For the line that the user reads."""
        return "time is up" if self._signal is None else "stopped"

    @property
    def status(self) -> int:
        """The process's exit status: 0 at the deadline, else as of a process that the signal ended."""
        return 0 if self._signal is None else 128 + self._signal

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Meanwhile SIGINT and SIGTERM only set a flag; a second one does what it did before, for the impatient."""
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

        def told(number: int, _: FrameType | None) -> None:
            self._signal = number
            signal.signal(number, before[signal.Signals(number)])

        for number in before:
            signal.signal(number, told)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
