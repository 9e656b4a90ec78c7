"""What reading one input may take: a second of CPU, a quarter of a gigabyte, and no word of a secret."""

import logging
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Self

from streamer.addresses import mask
from streamer.settings import TelemetrySettings
from streamer.telemetry.logs import configure_logging

SECRET = "hunter2"
"""In every sample that holds a password: no message and no log line may say it."""
LONGEST_MESSAGE = 9_000  # an address, 4,096 characters at most, may be in it twice
_CPU_S = 1.0
_MEMORY = 256 << 20
_PAGE = resource.getpagesize()


class TooLongError(AssertionError):
    """Reading took too much CPU."""


@contextmanager
def bounded() -> Iterator[None]:
    """Ends what takes too long by an error, and lets what takes too much memory run into a MemoryError."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * _PAGE
    before = signal.signal(signal.SIGVTALRM, _too_long)
    signal.setitimer(signal.ITIMER_VIRTUAL, _CPU_S)
    resource.setrlimit(resource.RLIMIT_AS, (used + _MEMORY, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _too_long(number: int, frame: FrameType | None) -> None:
    raise TooLongError(f"more than {_CPU_S:g} s of CPU")


def check_message(error: BaseException) -> None:
    """One line for people, without secrets once it is shown as the command line and the logs do it."""
    message = mask(str(error))
    assert message.strip(), f"{type(error).__name__} says nothing"
    assert "\n" not in message, message
    assert len(message) <= LONGEST_MESSAGE, f"{len(message)} characters: {message[:200]}"
    assert SECRET not in message, message


class Ear(logging.Handler):
    """Hears everything that is logged meanwhile, as our processes write it."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Takes a line."""
        self.said.append(self.format(record))

    def check(self) -> None:
        """No line may hold the secret."""
        assert not [line for line in self.said if SECRET in line]

    def __enter__(self) -> Self:
        configure_logging(TelemetrySettings(log_level="DEBUG"))
        [ours] = [each for each in logging.root.handlers if type(each).__module__ == "streamer.telemetry.logs"]
        self.setFormatter(ours.formatter)
        logging.root.removeHandler(ours)
        logging.root.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.root.removeHandler(self)
