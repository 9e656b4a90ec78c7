"""Frames whose processing fails: tried again, alone, until it is clear whose fault it was."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence

from consumers.entry import Entry
from consumers.faults import Fault, judge
from consumers.telemetry import metrics
from streamer.retry import Backoff
from streamer.settings import DetectSettings

log = logging.getLogger(__name__)

_SHORTEST_S, _LONGEST_S = 0.1, 2.0

Work = Callable[[Sequence[Entry]], None]
"""Does frames together: each is done then, or an error is raised."""


class Retrying:
    """Belongs to a lane.

    work: does frames. check: raises if the detector fails at a picture that is beyond suspicion. condemn: told of a
    frame that failed so often as it may, and why. stopping: ends the tries; what has failed by then isn't done.
    """

    def __init__(
        self,
        settings: DetectSettings,
        work: Work,
        check: Callable[[], None],
        condemn: Callable[[Entry, str], None],
        stopping: threading.Event,
    ) -> None:
        self._tries, self._work, self._check, self._condemn = settings.tries, work, check, condemn
        self._stopping = stopping
        self._retries = metrics.RETRIES.labels(settings.pipeline)

    def work(self, entries: Sequence[Entry]) -> None:
        """Does frames, whatever fails at one of them; told to stop, those that don't fail.

        Raises:
            Exception: the detector can't go on, or fails at every picture: the frames aren't done.
        """
        try:
            self._work(entries)
        except Exception as error:  # an engine raises what it likes
            raise_if_lasting(error)
            log.warning("%d frames failed together, each is tried alone: %s", len(entries), _line(error))
            for entry in entries:
                if not entry.done:
                    self._alone(entry)

    def work_off(self, left: deque[Entry]) -> None:
        """One by one: what comes of one may spare the next. Raises as `work`."""
        while left:
            entry = left.popleft()
            if not entry.done:
                self.work([entry])

    def _alone(self, entry: Entry) -> None:
        backoff = Backoff(_SHORTEST_S, _LONGEST_S)
        reason = ""
        for _ in range(self._tries):
            # What was full or busy may need a moment. Without one, the next try would tell nothing about the frame.
            if self._stopping.wait(backoff.next()):
                entry.taken = False  # so it isn't waited for: its partition's next owner does it
                return
            self._retries.inc()
            try:
                self._work([entry])
                return
            except Exception as error:  # as above
                raise_if_lasting(error)
                reason = _line(error)
                log.warning("partition %d offset %d failed alone: %s", entry.partition, entry.offset, reason)
        self._check()
        self._condemn(entry, reason)


def raise_if_lasting(error: Exception) -> None:
    """Where trying again is of no use."""
    if judge(error) is Fault.LASTING:
        raise error


def _line(error: Exception) -> str:
    words = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}: {words}" if words else type(error).__name__
