"""How old each stream's newest result is, told when somebody asks /metrics: it grows while nothing is committed."""

import threading
from collections.abc import Callable, Iterable

from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from consumers.entry import Batch, Partition
from streamer.moments import unix_ms
from streamer.records import End, GapReason, Result

Owns = Callable[[Partition], bool]
_Key = tuple[str, str]


class StreamAges(Collector):
    """Of the streams on partitions that workers of this process have; thread-safe.

    A frame in which nothing has moved counts as a result, which it is. A run that is over has no age any more.
    """

    def __init__(self) -> None:
        self._newest: dict[_Key, tuple[Partition, int]] = {}  # (pipeline, stream) -> when it was captured, in ms
        self._owners: list[tuple[str, Owns]] = []
        self._lock = threading.Lock()

    def watch(self, pipeline: str, owns: Owns) -> None:
        """A worker, and which partitions it has."""
        with self._lock:
            self._owners.append((pipeline, owns))

    def unwatch(self, pipeline: str, owns: Owns) -> None:
        """It is over."""
        with self._lock:
            self._owners.remove((pipeline, owns))

    def committed(self, batch: Batch, pipeline: str) -> None:
        """Takes a batch in order."""
        with self._lock:
            for entry in batch.entries:
                if entry.header is None:
                    continue
                key = (pipeline, entry.header.stream)
                if isinstance(entry.outcome, Result) or entry.outcome is GapReason.UNCHANGED:
                    self._newest[key] = entry.partition, entry.header.captured_ms
                elif isinstance(entry.outcome, End):
                    self._newest.pop(key, None)

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Its name, without measuring."""
        return [_family()]

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """See Collector."""
        family, now_ms = _family(), unix_ms()
        with self._lock:
            self._newest = {key: newest for key, newest in self._newest.items() if self._is_owned(key[0], newest[0])}
            for key, (_, captured_ms) in self._newest.items():
                family.add_metric(key, max(now_ms - captured_ms, 0) / 1000)
        return [family]

    def _is_owned(self, pipeline: str, partition: Partition) -> bool:
        return any(name == pipeline and owns(partition) for name, owns in self._owners)


def _family() -> GaugeMetricFamily:
    name, words = "streamer_detect_stream_age_seconds", "how long ago the newest frame with a result was captured"
    return GaugeMetricFamily(name, words, labels=["pipeline", "stream"])


STREAM_AGES = StreamAges()
REGISTRY.register(STREAM_AGES)
