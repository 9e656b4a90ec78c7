"""Publishing to `frames`: lanes for the streams, one Kafka producer below them, and a new one when it breaks.

kafka-python's idempotent producer can't go on after some errors: a record refused for its time or size, a broken
sequence, a delivery timeout. Then everything that is not acknowledged goes through a new one, in order.
"""

import logging
import threading
import time
from collections.abc import Callable

from producers import metrics
from producers.lane import Lane
from producers.link import Link, connect
from streamer.addresses import mask
from streamer.errors import ServiceError, StreamerError
from streamer.lifecycle import Deadline
from streamer.moments import unix_ms
from streamer.retry import Backoff
from streamer.settings import Settings
from streamer.topics import partition_of

log = logging.getLogger(__name__)

DELIVERY_TIMEOUT_S = 120.0
TICK_S = 1.0
SLOW_S = 5.0
"""Without an acknowledgement for so long, the process is not ready."""
FIRST_RETRY_S, LAST_RETRY_S = 0.2, 10.0
SETTLED_S = 30.0
"""A producer that has lived so long counts as good: the next failure is retried at once again."""
LINGERS_MS = ((20, 2), (60, 20), (float("inf"), 50))
"""(up to so many records per second, wait so long for a batch): alone on its stream a record gains nothing from
waiting; 80 a second cost half the CPU when some share a request, and 50 ms are less than between two frames."""


class Publisher:
    """Owns the Kafka producer of this process. Any thread may use it.

    delivery_timeout_s: a record not acknowledged for so long gets the producer replaced.
    """

    def __init__(
        self,
        settings: Settings,
        clock_ms: Callable[[], int] = unix_ms,
        delivery_timeout_s: float = DELIVERY_TIMEOUT_S,
    ) -> None:
        self._settings, self._clock_ms, self._delivery_timeout_s = settings, clock_ms, delivery_timeout_s
        self._lock = threading.Lock()  # of _lanes and _link; never taken with a lane's lock held
        self._lanes: list[Lane] = []
        self._link: Link | None = None
        self._partitions: list[int] = []
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._broken: tuple[Link, Exception] | None = None
        self._thread = threading.Thread(target=self._pump, name="publisher", daemon=True)
        self._linger_ms = LINGERS_MS[0][1]
        self._backoff, self._connected_at = Backoff(FIRST_RETRY_S, LAST_RETRY_S), 0.0

    def open(self) -> None:
        """Connects.

        Raises:
            ServiceError: no broker, no rights, or no topic.
        """
        self._link = connect(self._settings, self._delivery_timeout_s, self._linger_ms)
        self._connected_at = time.monotonic()
        self._partitions = sorted(self._link.partitions)
        self._thread.start()

    def partition(self, stream: str) -> int:
        """Where a stream's frames are: what Kafka's default partitioner gives for the key, computed once."""
        return self._partitions[partition_of(stream, len(self._partitions))]

    def lane(self, stream: str, waits: bool, ours: Callable[[], bool] = lambda: True) -> Lane:
        """A stream's way in.

        waits: its frames can wait (a file), rather than be dropped (a camera).
        ours: whether the stream certainly is, rather than another process's by now; from any thread, and quickly.
        """
        lane = Lane(stream, self.partition(stream), waits, self._wake.set, self._report, ours)
        metrics.OUTSTANDING_BYTES.labels(stream).set_function(lambda: lane.outstanding_bytes)
        metrics.QUEUED.labels(stream).set_function(lambda: lane.queued)
        if waits:
            metrics.HELD.labels(stream).set_function(lambda: lane.held)
        with self._lock:
            self._lanes.append(lane)
            # Within the lock: with a rebuild between the two it would get the old link, which takes nothing any more.
            if self._link is not None:
                lane.connect(self._link)
        self._share_out()
        return lane

    def release(self, lane: Lane) -> None:
        """Forgets a lane; what it has not got through is lost, so flush it first."""
        with self._lock:
            self._lanes.remove(lane)
        self._share_out()

    def lanes(self) -> list[Lane]:
        """Those open now."""
        with self._lock:
            return list(self._lanes)

    def check(self) -> None:
        """Raises:
        StreamerError: publishing has come to an end by a fault of our own; the process must too.
        """
        if self._thread.ident is not None and not self._thread.is_alive() and not self._closing.is_set():
            raise StreamerError("publishing failed; the log says why")

    def why_not_ready(self) -> str | None:
        """None while frames get through, else the reason."""
        if self._link is None:
            return "no connection to Kafka"
        oldest_s = self._oldest_s()
        return f"Kafka has acknowledged nothing for {oldest_s:.0f} s" if oldest_s > SLOW_S else None

    def _oldest_s(self) -> float:
        return max((lane.oldest_s() for lane in self.lanes()), default=0.0)

    def close(self, deadline: Deadline) -> None:
        """Lets the producer go. Lanes must be flushed before."""
        self._closing.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(deadline.remaining())
        if self._link is not None:
            self._link.close(max(deadline.remaining(), 0.1))

    def _share_out(self) -> None:
        # Equal shares: one stream at full speed must not take the room of all others.
        lanes = self.lanes()
        share = self._settings.produce.max_outstanding_bytes // max(len(lanes), 1)
        for lane in lanes:
            lane.limit(share, self._settings.topics.max_record_bytes)

    def _report(self, link: Link, error: Exception) -> None:
        """A record failed. Called with a lane's lock held, or from the producer's own thread: takes no lock."""
        link.fence()
        if self._broken is None and link is self._link:
            self._broken = (link, error)
            self._wake.set()

    def _pump(self) -> None:
        counted, since = 0, time.monotonic()
        while not self._closing.is_set():
            self._wake.wait(TICK_S)
            self._wake.clear()
            self._watch()
            if self._broken is not None:
                self._rebuild(*self._broken)
            for lane in self.lanes():
                lane.advance()
            if (passed := time.monotonic() - since) >= TICK_S:
                total = sum(lane.records for lane in self.lanes())
                self._adapt(max(total - counted, 0) / passed)
                counted, since = total, time.monotonic()

    def _watch(self) -> None:
        """The client itself fails what it can't deliver in time, but has been seen to hang for ever instead."""
        oldest_s = self._oldest_s()
        if self._link is not None and oldest_s > self._delivery_timeout_s * 1.25:
            self._report(self._link, TimeoutError(f"nothing acknowledged for {oldest_s:.0f} s"))

    def _adapt(self, per_second: float) -> None:
        if not per_second:
            return  # a file that waits for its readers goes on as fast as before
        linger_ms = next(linger for limit, linger in LINGERS_MS if per_second < limit)
        if linger_ms != self._linger_ms and self._link is not None:
            self._linger_ms = linger_ms
            self._link.set_linger(linger_ms)

    def _rebuild(self, link: Link, error: Exception) -> None:
        log.warning("publishing failed (%s: %s); going on with a new producer", type(error).__name__, error)
        metrics.REBUILDS.inc()
        with self._lock:
            self._link = None
        link.close(timeout_s=5)
        for lane in self.lanes():
            lane.disconnect(self._clock_ms())
        if time.monotonic() - self._connected_at > SETTLED_S:
            self._backoff.reset()
        while not self._closing.wait(self._backoff.next()):
            try:
                new = connect(self._settings, self._delivery_timeout_s, self._linger_ms)
            except ServiceError as reason:
                log.warning("still can't publish: %s", mask(str(reason)))
                continue
            self._adopt(new)
            return

    def _adopt(self, link: Link) -> None:
        self._broken, self._connected_at = None, time.monotonic()
        with self._lock:
            self._link = link
            lanes = list(self._lanes)
        for lane in lanes:
            lane.connect(link)
