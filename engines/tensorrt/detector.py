"""From JPEGs to boxes with everything between on the GPU; what a worker's lane drives instead of a Detector."""

import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from engines.detections import Detections
from engines.detector import Detector, Times
from engines.jpeg_detector import Damaged, Frame, GpuTimes
from engines.tensorrt.boxes import Boxes, Task
from engines.tensorrt.engine import TensorRtEngine
from engines.tensorrt.jpeg import JpegDecoder, jpeg_decoder
from engines.tensorrt.pictures import write_border
from engines.tensorrt.postprocess import reading
from engines.tensorrt.slots import Slot


@dataclass(slots=True, eq=False)
class Lane:
    """A slot with its decoder, and what is in it. damaged: by the frame's number."""

    slot: Slot[Boxes]
    decoder: JpegDecoder
    frames: Sequence[Frame] = ()  # kept, as a decoder may still be reading them
    damaged: Mapping[int, Damaged] = field(default_factory=dict)
    started: float = 0.0


class GpuDetector:
    """A model that is ready, on the GPU. See JpegDetector.

    selection: as of Detector. lanes: what batches run in.
    """

    def __init__(self, detector: Detector, engine: TensorRtEngine, lanes: Sequence[Lane]) -> None:
        self.model, self.engine = detector.model, engine
        self.selection = detector.selection
        self.times, self.gpu_times, self.by_cpu = Times(), GpuTimes(), 0
        self.lanes = tuple(lanes)
        self._free = deque(lanes)
        self._running: deque[Lane] = deque()

    @property
    def batch(self) -> int:
        """How many frames go through the network together."""
        return self.engine.input.batch

    @property
    def best(self) -> int:
        """See JpegDetector."""
        return self.engine.network.best

    @property
    def depth(self) -> int:
        """How many batches may be under way."""
        return len(self.lanes)

    @property
    def under_way(self) -> int:
        """How many are."""
        return len(self._running)

    def wanted_size(self, width: int, height: int) -> tuple[int, int]:
        """See Detector."""
        return self.model.letterbox.wanted_size(width, height)

    def sure(self, found: Detections) -> NDArray[np.bool_]:
        """See Detector."""
        reached: NDArray[np.bool_] = found.scores >= self.selection.thresholds.per_class[found.classes]
        return reached

    def start(self, frames: Sequence[Frame]) -> None:
        """Queues a batch of 1 to `batch` frames, and returns before it is done.

        Raises:
            DeviceError: the GPU failed.
        """
        lane = self._free[0]
        lane.started = time.perf_counter()
        wanted = [self.wanted_size(frame.width, frame.height) for frame in frames]
        with lane.slot.device.use("decoding JPEGs"):
            lane.slot.begin()
            pixels = lane.decoder.decode(frames, wanted)
        lane.frames, lane.damaged = frames, {n: one for n, one in enumerate(pixels) if isinstance(one, Damaged)}
        for number, (frame, one) in enumerate(zip(frames, pixels, strict=True)):
            if isinstance(one, Damaged):
                write_border(lane.slot.around.pictures[number : number + 1])
            else:
                lane.slot.around.place(number, one, (frame.width, frame.height), int(frame.unsure))
        whole = lane.slot.whole(len(frames))
        write_border(lane.slot.around.pictures[len(frames) : whole])
        lane.slot.submit(whole)
        self._running.append(self._free.popleft())

    def finish(self) -> list[Detections | Damaged]:
        """What is in each frame of the oldest batch under way, in its pixels.

        Raises:
            DeviceError: the GPU failed.
            ModelError: the network gives classes that it doesn't have.
        """
        lane = self._running.popleft()
        self._free.append(lane)
        cpu = time.thread_time()
        lane.slot.wait()
        done = time.perf_counter()
        damaged, found_in = lane.damaged, lane.slot.around.found
        found = [damaged[number] if number in damaged else found_in(number) for number in range(len(lane.frames))]
        self.times = Times(done - lane.started, time.thread_time() - cpu, time.perf_counter() - done)
        self.gpu_times, self.by_cpu = lane.slot.times(), lane.decoder.by_cpu
        return found

    def close(self) -> None:
        """Lets the GPU's memory go, once what is under way is done."""
        for lane in self.lanes:
            lane.slot.close()
            with lane.slot.device.use("closing"):
                lane.decoder.close()
        self.engine.close()


def on_gpu(detector: Detector, slots: int = 2) -> GpuDetector | None:
    """The same model with decoding, letterbox and NMS on the GPU as well; None if kernels can't take them over.

    They can't if another engine runs it, if its head is none of ours, or for outputs of mixed types. The detector's
    buffers for arrays of this machine are let go.

    Raises:
        DeviceError: there is no memory for it.
    """
    engine = detector.engine
    if not isinstance(engine, TensorRtEngine):
        return None
    outputs = engine.network.outputs
    read = reading(detector.head, outputs[0].whole(engine.network.most))
    if read is None or {output.dtype.name for output in outputs} not in ({"float32"}, {"float16"}):
        return None
    selection = detector.selection
    levels = tuple(level for level in (selection.thresholds, selection.candidates) if level is not None)
    task = Task(detector.model, engine.input, read, levels, selection)
    engine.let_buffers_go()
    with engine.device.use("making room for batches"):
        return GpuDetector(detector, engine, [_lane(engine, task) for _ in range(slots)])


def _lane(engine: TensorRtEngine, task: Task) -> Lane:
    slot = Slot[Boxes](engine.device, engine.network, lambda slot: Boxes(slot, task), engine.graphs)
    return Lane(slot, jpeg_decoder(engine.device, slot.stream))
