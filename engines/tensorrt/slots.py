"""A batch in flight: a stream, execution contexts, buffers on both sides, and the work as CUDA graphs.

Buffers are allocated when a slot is made. With two slots, the copies and kernels around one batch run while the other
is in the network.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from engines.jpeg_detector import GpuTimes
from engines.tensorrt.cuda_graph import Graph, record
from engines.tensorrt.device import Device
from engines.tensorrt.errors import DeviceError, DeviceLostError
from engines.tensorrt.network import Network

log = logging.getLogger(__name__)


class Around(Protocol):
    """What happens before and behind the network, on a slot's stream. It is recorded with it."""

    def before(self, pictures: int, stream: Any) -> None:
        """Queues what fills the input."""

    def behind(self, pictures: int, stream: Any) -> None:
        """Queues what becomes of the outputs."""

    def close(self) -> None:
        """Lets its buffers go."""


A = TypeVar("A", bound=Around)


class Slot(Generic[A]):
    """Belongs to one thread at a time. `submit`, then `wait`, then again.

    stream: pycuda's. input, outputs: addresses on the GPU. around: what happens around the network.
    graphs: whether work is recorded. Made by a thread that has the device in use.

    Raises:
        DeviceError: there is no memory for it.
    """

    def __init__(self, device: Device, network: Network, around: "Callable[[Slot[A]], A]", graphs: bool) -> None:
        self.device, self.network, self.graphs = device, network, graphs
        self.stream = device.stream()
        self._begun, self._submitted, self._done = device.clock(), device.clock(), device.finish_line()
        # What contexts work in is shared: they run in one stream, so one behind the other.
        sizes = (tensor.size(network.most) for tensor in (network.input, *network.outputs))
        self._memory = [device.allocate(size) for size in (network.working_memory, *sizes)]
        self._working, self.input, *self.outputs = map(int, self._memory)
        self._contexts: dict[int, _Context] = {}
        self._recorded: dict[int, Graph] = {}
        self._closed = False
        self.around = around(self)

    @property
    def recorded(self) -> int:
        """For how many sizes of a batch the work is recorded by now; 0 also where it can't be."""
        return len(self._recorded)

    def whole(self, pictures: int) -> int:
        """How many pictures a batch of so many is best run as, if the places behind them are filled with any.

        Each size that is recorded takes an execution context and a graph, so not all are.
        """
        if self.network.fixed:
            return self.network.most
        return _recorded_size(pictures, self.network.best, self.network.most) if self.graphs else pictures

    def begin(self) -> None:
        """Before work of others is queued in the stream that belongs to the next batch; for `times`."""
        self._begun.record(self.stream)

    def submit(self, pictures: int) -> None:
        """Queues a batch and returns at once. It is recorded if it is `whole`.

        Raises:
            DeviceError: it can't be run.
        """
        with self.device.use("inference"):
            graph = self._recorded.get(pictures)
            self._submitted.record(self.stream)
            if graph is not None:
                graph.launch(self.stream)
            else:
                self._queue(pictures)
            self._done.record(self.stream)
            if graph is None and self._is_recorded(pictures):
                self._record(pictures)

    def wait(self) -> None:
        """Until the batch is done: the one time that the thread waits for the GPU.

        Raises:
            DeviceError: it failed.
        """
        with self.device.use("inference"):
            self._done.synchronize()

    def times(self) -> GpuTimes:
        """Of the batch that has been waited for, if it was told to `begin`."""
        with self.device.use("reading clocks"):
            decode, infer = self._submitted.time_since(self._begun), self._done.time_since(self._submitted)
        return GpuTimes(decode / 1000, infer / 1000)

    def close(self) -> None:
        """Lets all of it go, once the batch in flight is done."""
        if self._closed:
            return
        self._closed = True
        with self.device.use("closing"):
            self.stream.synchronize()
            for graph in self._recorded.values():
                graph.close()
            self.around.close()
            # Contexts first: they know the addresses.
            self._contexts.clear()
            for memory in self._memory:
                memory.free()
            self._recorded, self._memory = {}, []
            # pycuda gives these back only where the context is current; left to the garbage collector they may be lost.
            self.stream = self._begun = self._submitted = self._done = None

    def _is_recorded(self, pictures: int) -> bool:
        return self.graphs and pictures == self.whole(pictures)

    def _queue(self, pictures: int) -> None:
        self.around.before(pictures, self.stream)
        self._must(self._context(pictures).execute_async_v3(self.stream.handle), "inference")
        self.around.behind(pictures, self.stream)

    def _context(self, pictures: int) -> Any:
        """One whose input has so many pictures.

        Once a graph was recorded from a context, that must keep its shape, or what the graph does is undefined. So
        each size that is recorded has a context of its own, and all others have one together.
        """
        key = pictures if self._is_recorded(pictures) else 0
        if key not in self._contexts:
            self._contexts[key] = _Context(self._new_context())
        kept = self._contexts[key]
        if kept.pictures != pictures:
            name, shape = self.network.input.name, self.network.input.whole(pictures)
            self._must(kept.context.set_input_shape(name, shape), f"a batch of {pictures}")
            kept.pictures = pictures
        return kept.context

    def _new_context(self) -> Any:
        context = self.network.context(self._working)
        tensors = (self.network.input, *self.network.outputs)
        for tensor, address in zip(tensors, (self.input, *self.outputs), strict=True):
            self._must(context.set_tensor_address(tensor.name, address), f"binding {tensor.name}")
        return context

    def _record(self, pictures: int) -> None:
        """Behind a first run of this size, which TensorRT wants before it is recorded."""
        try:
            self._recorded[pictures] = record(self.stream, lambda: self._queue(pictures))
        except DeviceLostError:
            raise
        except DeviceError as error:
            self.graphs = False
            log.warning("%s: runs without CUDA graphs, somewhat slower: %s", self.network.path, error)

    def _must(self, done: bool, doing: str) -> None:
        if not done:
            raise self.network.failure(doing)


@dataclass(slots=True)
class _Context:
    """TensorRT's, and how many pictures its input has."""

    context: Any
    pictures: int = 0


def _recorded_size(pictures: int, best: int, most: int) -> int:
    """The next size that is recorded: all up to 8, four from each power of two to the next, the best and the largest.

    So less than a fifth of what is run is filled up, by some 20 sizes for batches of up to 64.
    """
    step = 1 << max((pictures - 1).bit_length() - 3, 0)
    size = min(-(-pictures // step) * step, most)
    return best if pictures <= best < size else size
