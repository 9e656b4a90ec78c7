"""Trying again: how long to wait before the next try, and when to give up."""

import random
import time


class Backoff:
    """Waits that double from the shortest to the longest, each shortened at random by up to half.

    At random, or all who met the same failure would come back in the same moment, again and again.
    """

    def __init__(self, shortest_s: float, longest_s: float) -> None:
        self._shortest_s, self._longest_s = shortest_s, longest_s
        self._next_s = shortest_s

    def next(self) -> float:
        """Seconds to wait now."""
        wait = self._next_s
        self._next_s = min(wait * 2, self._longest_s)
        return wait * random.uniform(0.5, 1)

    def worked(self, seconds: float) -> None:
        """It lasted so long. What breaks again and again within its wait doesn't shorten it."""
        if seconds > self._next_s:
            self.reset()

    def reset(self) -> None:
        """The next wait is the shortest again."""
        self._next_s = self._shortest_s


class Retry:
    """The tries of one thing that may fail for a while. Belongs to one thread.

    timeout_s: without a success for so long after the first failure, there are no more tries.
    """

    def __init__(self, shortest_s: float, longest_s: float, timeout_s: float) -> None:
        self._backoff = Backoff(shortest_s, longest_s)
        self._timeout_s = timeout_s
        self._failing_since: float | None = None

    def worked(self) -> None:
        """It did: what comes next is a new failure."""
        if self._failing_since is not None:
            self._failing_since = None
            self._backoff.reset()

    def failed(self) -> float | None:
        """Seconds to wait before the next try; None: it has failed for too long."""
        now = time.monotonic()
        if self._failing_since is None:
            self._failing_since = now
        left = self._failing_since + self._timeout_s - now
        return min(self._backoff.next(), left) if left > 0 else None


class Waits:
    """For who looks twice a second: what failed is tried again after waits that grow. Belongs to one thread."""

    def __init__(self, shortest_s: float = 0.5, longest_s: float = 30.0) -> None:
        self._backoff = Backoff(shortest_s, longest_s)
        self._until = 0.0

    @property
    def over(self) -> bool:
        """Whether it may be tried now."""
        return time.monotonic() >= self._until

    def worked(self) -> None:
        """It did."""
        self._backoff.reset()

    def failed(self) -> float:
        """It did not; returns the seconds until it may be tried again."""
        wait_s = self._backoff.next()
        self._until = time.monotonic() + wait_s
        return wait_s
