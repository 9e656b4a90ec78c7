"""What the GPUs do, measured when somebody asks /metrics."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING
from weakref import WeakSet

from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from engines.gpu_usage import GpuEngine

if TYPE_CHECKING:
    from consumers.lanes.make import AnyDetector


class GpuMetrics(Collector):
    """Of the GPUs that detectors of this process use, each once."""

    def __init__(self) -> None:
        self._engines: WeakSet[GpuEngine] = WeakSet()

    def watch(self, detectors: "Sequence[AnyDetector]") -> None:
        """Shows their GPUs for as long as they live."""
        for detector in detectors:
            if isinstance(detector.engine, GpuEngine):
                self._engines.add(detector.engine)

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Their names, without measuring."""
        return _families()

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """See Collector."""
        families = _families()
        gpus = {engine.gpu: engine for engine in self._engines}
        for gpu, engine in sorted(gpus.items()):
            usage = engine.usage()
            for family, value in zip(families, (usage.busy, usage.memory_used, usage.memory_total), strict=True):
                if value is not None:
                    family.add_metric([gpu], value)
        return families if gpus else []


def _families() -> list[GaugeMetricFamily]:
    kinds = {
        "streamer_gpu_busy_ratio": "share of the driver's last sample in which a kernel of any program ran",
        "streamer_gpu_memory_used_bytes": "memory that any program has taken",
        "streamer_gpu_memory_total_bytes": "memory that there is",
    }
    return [GaugeMetricFamily(name, words, labels=["gpu"]) for name, words in kinds.items()]


GPUS = GpuMetrics()
REGISTRY.register(GPUS)
