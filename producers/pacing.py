"""Files at the speed of their own clock, as if they were live."""

import threading
import time

from producers.picture import Picture
from streamer.moments import unix_ms

_LONGEST_WAIT_S = 10.0
_LATEST_S = 1.0


class Pacer:
    """Holds every picture back until it is due on the monotonic clock. Belongs to one thread.

    A gap of more than 10 s in the time stamps, or being late by more than a second (somebody downstream made us
    wait), shifts the schedule instead: no long silence, and no rush to catch up.

    stop: ends a wait at once.
    """

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._start: float | None = None

    def wait(self, picture: Picture) -> bool:
        """Waits until `picture` is due and sets its captured_ms to that moment; False: told to stop.

        A picture without a time is due at once.
        """
        if picture.seconds is None:
            return not self._stop.is_set()
        early = self._early(picture.seconds)
        if early > 0 and self._stop.wait(early):
            return False
        # Not "now": a reader that was held up by us must see the delay in the frame's age.
        late = max(time.monotonic() - self._due(picture.seconds), 0.0)
        picture.captured_ms = unix_ms() - round(late * 1000)
        return not self._stop.is_set()

    def _due(self, seconds: float) -> float:
        return (self._start or 0.0) + seconds

    def _early(self, seconds: float) -> float:
        now = time.monotonic()
        if self._start is None:
            self._start = now - seconds
        early = self._due(seconds) - now
        if not -_LATEST_S <= early <= _LONGEST_WAIT_S:
            self._start = now - seconds
            return 0.0
        return early
