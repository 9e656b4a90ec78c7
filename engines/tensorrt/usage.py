"""How busy and how full a GPU is, by NVIDIA's management library: all programs on it, not only this one."""

import logging
from collections.abc import Callable
from functools import cache
from typing import Any

from engines.gpu_usage import GpuUsage

_log = logging.getLogger(__name__)


class UsageMeter:
    """Of the GPU at a PCI address. Safe to use from several threads.

    Says once why where it can't measure: without the package nvidia-ml-py, in a container without the driver's part
    of it, or where a share of a GPU (MIG) has no such figure of its own. The service doesn't need it.
    """

    def __init__(self, pci_bus_id: str) -> None:
        self._bus = pci_bus_id
        self._library: Any = None
        self._handle: Any = None
        self._said: set[str] = set()
        try:
            import pynvml
        except ModuleNotFoundError:
            self._say("no metrics of the GPU: they need the package nvidia-ml-py")
            return
        try:
            pynvml.nvmlInit()
            self._handle = pynvml.nvmlDeviceGetHandleByPciBusId(pci_bus_id)
        except pynvml.NVMLError as error:
            self._say(f"no metrics of the GPU: {error}")
            return
        self._library = pynvml

    def read(self) -> GpuUsage:
        """Now; None for what can't be measured."""
        if self._library is None:
            return GpuUsage()
        memory = self._ask("memory", self._library.nvmlDeviceGetMemoryInfo)
        rates = self._ask("utilization", self._library.nvmlDeviceGetUtilizationRates)
        return GpuUsage(
            busy=None if rates is None else rates.gpu / 100,
            memory_used=None if memory is None else memory.used,
            memory_total=None if memory is None else memory.total,
        )

    def _ask(self, what: str, call: Callable[[Any], Any]) -> Any:
        try:
            return call(self._handle)
        except self._library.NVMLError as error:
            self._say(f"no metrics of the GPU's {what}: {error}")
            return None

    def _say(self, words: str) -> None:
        if words not in self._said:
            self._said.add(words)
            _log.warning(words)


@cache
def usage_meter(pci_bus_id: str) -> UsageMeter:
    """One per GPU and process, so that what can't be measured is said once."""
    return UsageMeter(pci_bus_id)
