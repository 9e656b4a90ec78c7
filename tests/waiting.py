"""What tests wait with: for a condition, and for a thread that waits itself."""

import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


def eventually(condition: Callable[[], T], what: str, timeout_s: float = 40) -> T:
    """The first true value of `condition`."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(0.05)
    return value


class Watched(threading.Condition):
    """Put in place of a condition. waited: set once a thread waits for it; by then its lock is free for others."""

    def __init__(self, lock: Any = None) -> None:
        super().__init__(lock)
        self.waited = threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        """See Condition."""
        self.waited.set()
        return super().wait(timeout)
