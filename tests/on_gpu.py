"""What tests and measurements on a GPU, a real or a simulated one, ask of it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from engines.detections import Detections
from engines.jpeg_detector import Damaged, Frame
from engines.tensorrt.detector import GpuDetector
from engines.tensorrt.device import Device


@dataclass
class Decoded:
    """Who decoded frames. by_cpu: those that the CPU was asked for. damaged: those that nobody could."""

    frames: int = 0
    by_cpu: int = 0
    damaged: int = 0

    @property
    def by_gpu(self) -> bool:
        """Whether the GPU did it, and all of it."""
        return self.frames > 0 and not self.by_cpu and not self.damaged

    def add(self, found: Sequence[object], by_cpu: int) -> None:
        """A batch."""
        self.frames += len(found)
        self.by_cpu += by_cpu
        self.damaged += sum(isinstance(one, Damaged) for one in found)

    def finish(self, detector: GpuDetector) -> list[Detections | Damaged]:
        """Its oldest batch, counted."""
        found = detector.finish()
        self.add(found, detector.by_cpu)
        return found


def total(parts: Iterable[Decoded]) -> Decoded:
    """Of several threads."""
    whole = Decoded()
    for part in parts:
        whole.frames += part.frames
        whole.by_cpu += part.by_cpu
        whole.damaged += part.damaged
    return whole


def detect_jpegs(
    detector: GpuDetector, frames: Sequence[Frame], decoded: Decoded | None = None
) -> list[Detections | Damaged]:
    """What is in any number of frames, with as many batches under way as there may be. decoded: counts them."""
    decoded = Decoded() if decoded is None else decoded
    found: list[Detections | Damaged] = []
    for first in range(0, len(frames), detector.batch):
        detector.start(frames[first : first + detector.batch])
        if detector.under_way == detector.depth:
            found += decoded.finish(detector)
    while detector.under_way:
        found += decoded.finish(detector)
    return found


def free_memory(device: Device) -> int:
    """Bytes that nobody has taken."""
    import pycuda.driver

    with device.use("asking for free memory"):
        return int(pycuda.driver.mem_get_info()[0])
