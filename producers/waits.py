"""What fails in a process that looks twice a second: tried again after waits that grow, not at the next look."""

import time

from streamer.retry import Backoff

SHORTEST_S, LONGEST_S = 0.5, 30.0


class Waits:
    """The waits of one thing. Belongs to one thread."""

    def __init__(self) -> None:
        self._backoff = Backoff(SHORTEST_S, LONGEST_S)
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
