"""Around a network: decoded pictures on the GPU go in, boxes in picture pixels come out."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.detections import Detections
from engines.detector import Selection
from engines.engine import InputSpec
from engines.heads.head import Thresholds
from engines.model import ModelInfo
from engines.tensorrt import postprocess as post
from engines.tensorrt.pictures import PICTURE, Pixels, input_argument, tiles, write_border, write_picture
from engines.tensorrt.slots import Slot

_BLOCK = 256
_SORTING_BLOCK = 1024


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """What a network is asked for: which picture goes in how, which boxes come out.

    levels: thresholds that a picture may choose from; see postprocess.threshold_table.
    nv12: whether pictures are in NV12; else they are RGB, as all that workers decode.
    """

    model: ModelInfo
    spec: InputSpec
    reading: post.Reading
    levels: tuple[Thresholds, ...]
    selection: Selection
    nv12: bool = False


class Boxes:
    """Kernels before and behind the network, and what travels: a table of pictures in, objects out. See slots.Around.

    pictures: PICTURE (most,), to be filled before a batch by `place`.
    """

    def __init__(self, slot: "Slot[Boxes]", task: Task) -> None:
        self._slot, self._task = slot, task
        device, most = slot.device, slot.network.most
        wanted = np.dtype(
            [
                ("pictures", PICTURE, most),
                ("tallies", post.TALLY, most),
                ("objects", post.OBJECT, (most, task.selection.max_objects)),
            ]
        )
        # One block that travels: its head goes in with each batch, its tail comes out.
        self._host = device.pinned(1, wanted)
        fields = self._host[0]
        self.pictures, self._tallies, self._objects = fields["pictures"], fields["tallies"], fields["objects"]
        self._fields = {name: int(place[1]) for name, place in (wanted.fields or {}).items()}
        write_border(self.pictures)
        self._memory = _Memory(slot, task, wanted.itemsize)
        self._input = _structure(input_argument(slot.input, task.spec, task.model))
        self._answer = _structure(self._memory.answer(slot, task))

    def place(self, number: int, pixels: Pixels, size: tuple[int, int], level: int = 0) -> None:
        """Says what picture `number` of the next batch is; see pictures.write_picture."""
        write_picture(self.pictures, number, pixels, size, self._task.model.letterbox, level)

    def found(self, number: int) -> Detections:
        """What was found in picture `number` of the batch that has been waited for.

        Raises:
            ModelError: a class that has no name.
        """
        classes = len(self._task.model.classes)
        return post.detections(self._tallies[number], self._objects[number], classes, self._task.model.path)

    def before(self, pictures: int, stream: Any) -> None:
        """See Around."""
        device, tallies = self._slot.device, self._fields["tallies"]
        device.copy_in(self._memory.travelling, self._bytes(0, tallies), stream)
        device.clear(self._memory.travelling + tallies, self._fields["objects"] - tallies, stream)
        kernel = device.kernel("letterbox", "letterbox_nv12" if self._task.nv12 else "letterbox_rgb")
        grid = tiles(self._task.spec, pictures)
        kernel(self._address("pictures"), self._input, block=(_BLOCK, 1, 1), grid=grid, stream=stream)

    def behind(self, pictures: int, stream: Any) -> None:
        """See Around."""
        memory, selection, kernel = self._memory, self._task.selection, self._slot.device.kernel
        table, tallies, objects = map(self._address, ("pictures", "tallies", "objects"))
        one_each = (1, 1, pictures)
        blocks = (-(-self._task.reading.boxes // post.SCORING_THREADS), 1, pictures)
        kernel("candidates", "score_boxes")(
            *(self._answer, table, memory.thresholds, memory.scores, memory.kinds, tallies),
            block=(post.SCORING_THREADS, 1, 1), grid=blocks, stream=stream,
        )  # fmt: skip
        kernel("candidates", "choose_candidates")(
            *(self._answer, memory.scores, memory.kinds, tallies, memory.candidates),
            block=(_SORTING_BLOCK, 1, 1), grid=one_each, stream=stream,
        )  # fmt: skip
        rivals = np.int32(self._task.reading.rivals(selection.agnostic))
        limits = np.int32(selection.max_objects), rivals, np.float32(selection.iou)
        kernel("nms", "suppress")(
            *(table, memory.candidates, tallies, objects, *limits),
            block=(_BLOCK, 1, 1), grid=one_each, stream=stream,
        )  # fmt: skip
        start = self._fields["tallies"]
        tail = self._bytes(start, self._fields["objects"] + pictures * self._objects[0].nbytes)
        self._slot.device.copy_out(tail, memory.travelling + start, stream)

    def close(self) -> None:
        """See Around."""
        self._memory.close()
        del self._host, self.pictures, self._tallies, self._objects

    def _address(self, field: str) -> np.uintp:
        return np.uintp(self._memory.travelling + self._fields[field])

    def _bytes(self, start: int, end: int) -> NDArray[np.uint8]:
        return self._host.view(np.uint8)[start:end]


class _Memory:
    """What lies on the GPU between the kernels, by address."""

    def __init__(self, slot: Slot[Boxes], task: Task, travelling: int) -> None:
        device, most = slot.device, slot.network.most
        boxes = most * task.reading.boxes
        table = post.threshold_table(task.levels)
        grid = task.reading.grid if task.reading.grid is not None else np.empty(0, np.float32)
        sizes = (travelling, 4 * boxes, 4 * boxes, most * post.CAPACITY * post.CANDIDATE.itemsize)
        self._taken = [device.allocate(size) for size in (*sizes, table.nbytes, grid.nbytes)]
        addresses = [int(memory) for memory in self._taken]
        self.travelling = addresses[0]
        self.scores, self.kinds, self.candidates, self.thresholds, self.grid = map(np.uintp, addresses[1:])
        for address, array in ((addresses[4], table), (addresses[5], np.ascontiguousarray(grid))):
            device.copy_in(address, array, slot.stream)
        slot.stream.synchronize()

    def answer(self, slot: Slot[Boxes], task: Task) -> NDArray[Any]:
        """The kernels' ANSWER."""
        grid = int(self.grid) if task.reading.grid is not None else 0
        dtype = slot.network.outputs[0].dtype
        return task.reading.argument(slot.outputs, dtype, grid, len(task.model.classes))

    def close(self) -> None:
        for memory in self._taken:
            memory.free()
        self._taken = []


def _structure(value: NDArray[Any]) -> np.void:
    """A kernel argument that goes by value; pycuda takes it as bytes. Read-only: others have no hash."""
    fixed = value.reshape(1).copy()
    fixed.flags.writeable = False
    argument: np.void = fixed[0]
    return argument
