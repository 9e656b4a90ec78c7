"""What tests and measurements on a GPU, a real or a simulated one, ask of it."""

from collections.abc import Sequence

from engines.detections import Detections
from engines.jpeg_detector import Damaged, Frame
from engines.tensorrt.detector import GpuDetector
from engines.tensorrt.device import Device


def detect_jpegs(detector: GpuDetector, frames: Sequence[Frame]) -> list[Detections | Damaged]:
    """What is in any number of frames, with as many batches under way as there may be."""
    found: list[Detections | Damaged] = []
    for first in range(0, len(frames), detector.batch):
        detector.start(frames[first : first + detector.batch])
        if detector.under_way == detector.depth:
            found += detector.finish()
    while detector.under_way:
        found += detector.finish()
    return found


def free_memory(device: Device) -> int:
    """Bytes that nobody has taken."""
    import pycuda.driver

    with device.use("asking for free memory"):
        return int(pycuda.driver.mem_get_info()[0])
