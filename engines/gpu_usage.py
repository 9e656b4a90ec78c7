"""What an engine can say of the GPU that it runs on."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class GpuUsage:
    """By all programs on a GPU; None: not known.

    busy: share of the driver's last sample, of up to a second, in which any kernel ran. memory_used, memory_total:
    bytes.
    """

    busy: float | None = None
    memory_used: int | None = None
    memory_total: int | None = None


@runtime_checkable
class GpuEngine(Protocol):
    """An engine that runs on a GPU.

    gpu: its name and its address, as in "NVIDIA L4 0000:01:00.0".
    """

    gpu: str

    def usage(self) -> GpuUsage:
        """The GPU's, now. For any thread; takes about a millisecond."""
