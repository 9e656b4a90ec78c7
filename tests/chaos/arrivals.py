"""When results are seen again after a fault: at a reader of committed records, and in Redis."""

import json
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import closing
from datetime import datetime

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.chaos.logs import consumer_of

_LOOK_S = 0.02


class Arrivals:
    """The first result of each stream whose frame was captured after a fault: no earlier one can be taken for it."""

    def __init__(self, streams: Iterable[str]) -> None:
        self._streams = frozenset(streams)
        self._lock = threading.Lock()
        self._since_ms = 0.0
        self._first: dict[str, float] = {}

    def expect(self, since_ms: float) -> None:
        """From now on waits for frames captured later than this, in ms since 1970."""
        with self._lock:
            self._since_ms, self._first = since_ms, {}

    def note(self, value: bytes) -> None:
        """A record has arrived."""
        record = json.loads(value)
        if record["kind"] != "frame":
            return
        captured_ms = datetime.fromisoformat(record["timestamp"]).timestamp() * 1000
        with self._lock:
            if captured_ms > self._since_ms:
                self._first.setdefault(record["sensorId"], time.monotonic())

    def missing(self) -> set[str]:
        """Streams without one."""
        with self._lock:
            return set(self._streams - self._first.keys())

    @property
    def complete_at(self) -> float | None:
        """When the last stream had one, by the monotonic clock; None: not all have."""
        with self._lock:
            return max(self._first.values()) if self._streams <= self._first.keys() else None


class CommittedReader(threading.Thread):
    """Follows topic `detections`."""

    def __init__(self, brokers: str, topic: str, arrivals: Arrivals) -> None:
        super().__init__(name="committed reader", daemon=True)
        self._brokers, self._topic, self._arrivals = brokers, topic, arrivals
        self._stopping = threading.Event()

    def run(self) -> None:
        """Until stopped."""
        with closing(consumer_of(self._brokers, self._topic)) as consumer:
            while not self._stopping.is_set():
                for records in consumer.poll(timeout_ms=100).values():
                    for record in records:
                        self._arrivals.note(record.value)

    def stop(self) -> None:
        """And wait."""
        self._stopping.set()
        self.join()


class RedisReader(threading.Thread):
    """Looks at every stream's newest result, as a dashboard does that asks rather than subscribes.

    keys: of the newest results, by stream.
    """

    def __init__(self, url: str, keys: Mapping[str, str], arrivals: Arrivals) -> None:
        super().__init__(name="redis reader", daemon=True)
        self._url, self._keys, self._arrivals = url, keys, arrivals
        self._stopping = threading.Event()

    def run(self) -> None:
        """Until stopped."""
        # By itself it would wait longer and longer between attempts.
        options = {"socket_timeout": 0.5, "socket_connect_timeout": 0.5, "retry": Retry(NoBackoff(), 0)}
        with redis.Redis.from_url(self._url, **options) as client:
            while not self._stopping.wait(_LOOK_S):
                wanted = [self._keys[stream] for stream in self._arrivals.missing()]
                if not wanted:
                    continue
                try:
                    values = client.mget(wanted)
                except (redis.ConnectionError, redis.TimeoutError):
                    continue  # it is the one that was broken
                for value in filter(None, values):
                    self._arrivals.note(value)

    def stop(self) -> None:
        """And wait."""
        self._stopping.set()
        self.join()
