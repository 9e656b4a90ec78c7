"""NVIDIA's management library for tests without a driver, as far as it is used."""

from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace


class NVMLError(Exception):
    """What the library raises."""


@dataclass
class Nvml:
    """busy: per cent. used, total: bytes. address: of the only GPU. failing: calls that fail, by name."""

    busy: int = 40
    used: int = 3 << 30
    total: int = 8 << 30
    address: str = "0000:00:00.0"
    failing: dict[str, str] = field(default_factory=dict)

    def call(self, name: str) -> None:
        """Fails if it shall."""
        if name in self.failing:
            raise NVMLError(self.failing[name])


def pynvml(state: Nvml) -> ModuleType:
    """The module `pynvml`."""

    def nvmlInit() -> None:
        state.call("nvmlInit")

    def nvmlDeviceGetHandleByPciBusId(pciBusId: str) -> str:
        if pciBusId != state.address:
            raise NVMLError("Not Found")
        return pciBusId

    def nvmlDeviceGetUtilizationRates(handle: str) -> SimpleNamespace:
        state.call("nvmlDeviceGetUtilizationRates")
        return SimpleNamespace(gpu=state.busy, memory=1)

    def nvmlDeviceGetMemoryInfo(handle: str) -> SimpleNamespace:
        state.call("nvmlDeviceGetMemoryInfo")
        return SimpleNamespace(used=state.used, free=state.total - state.used, total=state.total)

    module = ModuleType("pynvml")
    functions = (
        nvmlInit,
        nvmlDeviceGetHandleByPciBusId,
        nvmlDeviceGetUtilizationRates,
        nvmlDeviceGetMemoryInfo,
    )
    module.__dict__.update({each.__name__: each for each in functions}, NVMLError=NVMLError)
    return module
