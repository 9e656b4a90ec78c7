"""Stopping: signals only set a flag, and one monotonic deadline bounds the whole shutdown."""

import os
import signal
import socket
import threading
import time
from types import FrameType
from typing import TYPE_CHECKING

from streamer.moments import unix_ms

if TYPE_CHECKING:
    from streamer.settings import KafkaSettings


class Deadline:
    """A moment on the monotonic clock that several steps share."""

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    def remaining(self) -> float:
        """Seconds left, never negative."""
        return max(self._at - time.monotonic(), 0.0)

    @property
    def passed(self) -> bool:
        """Whether no time is left."""
        return time.monotonic() >= self._at


def stop_on_signals() -> threading.Event:
    """An event that SIGINT and SIGTERM set; a second signal has its default effect, for the impatient."""
    stopping = threading.Event()

    def handle(number: int, _: FrameType | None) -> None:
        stopping.set()
        signal.signal(number, signal.SIG_DFL)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handle)
    return stopping


def instance_name(kafka: "KafkaSettings") -> str:
    """Name of this process among its replicas: the one in the settings, else one that no other process has.

    Only a given one is the same after a restart; then Kafka ends what the process before left open at once.
    """
    return kafka.instance or f"{socket.gethostname()}-{os.getpid()}-{unix_ms():x}"
