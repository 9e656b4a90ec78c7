"""Which frame next: a stream's freshness decides what is still worth detecting, streams take turns."""

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable

from consumers.entry import Entry
from streamer.moments import unix_ms
from streamer.records import GapReason

Skip = Callable[[Entry, GapReason, str], None]


class Chooser:
    """Frames that wait for a lane. Thread-safe; bounded, as the poller waits for room before it polls.

    bound_ms of a frame: 0, only the newest of its stream counts (`latest`); None, all do (`every`); else its
    age in ms beyond which it is skipped.
    """

    def __init__(self, limit: int, skip: Skip) -> None:
        self._limit, self._skip = limit, skip
        self._low = 2  # waiting frames: with fewer, lanes might idle before a poll brings the next
        self._queues: OrderedDict[str, deque[tuple[Entry, int | None]]] = OrderedDict()
        self._idle = 0
        self._bounded = 0  # waiting frames that no newer one replaces
        self._lock = threading.Lock()
        self._came, self._left = threading.Condition(self._lock), threading.Condition(self._lock)
        self._wanted: Callable[[], bool] = lambda: False  # what the poller waits for
        self._closed = False

    def wait_for_room(self, timeout_s: float) -> bool:
        """Waits until more may come, leaving those aside that replace older ones; False after `timeout_s`."""
        with self._lock:
            return self._wait(lambda: self._bounded < self._limit, timeout_s)

    def wait_until_low(self, timeout_s: float) -> bool:
        """Waits until no more frames wait than one batch takes; False after `timeout_s`."""
        with self._lock:
            return self._wait(lambda: self._depth() < self._low, timeout_s)

    def _wait(self, wanted: Callable[[], bool], timeout_s: float) -> bool:
        """The poller's. It is woken when there is what it waits for, not at every frame: each waking costs."""
        self._wanted = wanted
        return self._left.wait_for(lambda: wanted() or self._closed, timeout_s)

    def offer(self, stream: str, entry: Entry, bound_ms: int | None) -> None:
        """Puts a frame in; under `latest` it takes the place of an older one, which is skipped."""
        replaced: list[Entry] = []
        with self._lock:
            queue = self._queues.setdefault(stream, deque())
            while bound_ms == 0 and queue:
                replaced.append(self._pop(stream)[0])
                queue = self._queues.setdefault(stream, deque())
            queue.append((entry, bound_ms))
            self._bounded += bound_ms != 0
            self._came.notify()
        for old in replaced:
            self._skip(old, GapReason.STALE, "")

    def serve(self, batch: int, limit: int = 0) -> None:
        """Frames are taken `batch` at a time; lets at least `limit` wait."""
        with self._lock:
            self._low, self._limit = max(self._low, batch + 1), max(self._limit, limit)

    def take(
        self, most: int, timeout_s: float, fill_s: float, enough: int | None = None, patient: int = 0
    ) -> list[Entry]:
        """Up to `most` frames, one stream after the other; waits for the first, then `fill_s` for the others.

        enough: how many are worth no more waiting; None: `most`. patient: up to how many, if they are there, nobody
            waits for the results of any frame here, and no other lane for a frame.
        """
        enough = most if enough is None else enough
        taken: list[Entry] = []
        stale: list[Entry] = []
        with self._lock:
            self._idle += 1
            came = self._came.wait_for(lambda: self._queues or self._closed, timeout_s)
            self._idle -= 1
            if not came:
                return []
            self._drain(most, taken, stale)
            deadline = time.monotonic() + fill_s
            while len(taken) < enough and not self._closed:
                left = deadline - time.monotonic()
                if left <= 0 or not self._came.wait_for(lambda: self._queues or self._closed, left):
                    break
                self._drain(most, taken, stale)
            if patient > len(taken) and not self._idle and self._nobody_waits(taken):
                self._drain(patient, taken, stale)
        for old in stale:
            self._skip(old, GapReason.STALE, "")
        return taken

    def _nobody_waits(self, taken: list[Entry]) -> bool:
        waiting = (entry for queue in self._queues.values() for entry, _ in queue)
        return all(entry.patient for entry in taken) and all(entry.patient for entry in waiting)

    def _drain(self, most: int, taken: list[Entry], stale: list[Entry]) -> None:
        now_ms = unix_ms()
        while self._queues and len(taken) < most:
            stream = next(iter(self._queues))
            entry, bound_ms = self._pop(stream)
            if entry.abandoned:
                continue
            assert entry.header is not None
            if bound_ms and now_ms - entry.header.captured_ms > bound_ms:
                stale.append(entry)
                continue
            entry.taken = True
            taken.append(entry)
        # At once, not when the batch is full: it is the poller who brings what is still wanted for it.
        if self._wanted():
            self._left.notify()

    def _pop(self, stream: str) -> tuple[Entry, int | None]:
        queue = self._queues[stream]
        entry, bound_ms = queue.popleft()
        self._bounded -= bound_ms != 0
        if queue:
            self._queues.move_to_end(stream)
        else:
            del self._queues[stream]
        return entry, bound_ms

    def depth(self) -> int:
        """Frames that wait."""
        with self._lock:
            return self._depth()

    def idle(self) -> int:
        """Lanes that wait for a frame."""
        with self._lock:
            return self._idle

    def _depth(self) -> int:
        return sum(map(len, self._queues.values()))

    def close(self) -> None:
        """Wakes everybody that waits; what is still here is not detected."""
        with self._lock:
            self._closed = True
            self._came.notify_all()
            self._left.notify_all()
