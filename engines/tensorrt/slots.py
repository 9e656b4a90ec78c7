"""A batch in flight: a stream, an execution context, buffers on both sides, and the work as a CUDA graph.

Everything is allocated when a slot is made. With two slots, the copies and kernels around one batch run while the
other is in the network.
"""

import logging
from collections.abc import Callable
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
        self._context = network.context()
        self._memory = [device.allocate(tensor.size(network.most)) for tensor in (network.input, *network.outputs)]
        self.input, *self.outputs = map(int, self._memory)
        for tensor, address in zip((network.input, *network.outputs), (self.input, *self.outputs), strict=True):
            self._must(self._context.set_tensor_address(tensor.name, address), f"binding {tensor.name}")
        self._pictures = 0
        self._recorded: dict[int, Graph] = {}
        self.around = around(self)

    @property
    def recorded(self) -> int:
        """For how many sizes of a batch the work is recorded by now; 0 also where it can't be."""
        return len(self._recorded)

    def begin(self) -> None:
        """Before work of others is queued in the stream that belongs to the next batch; for `times`."""
        self._begun.record(self.stream)

    def submit(self, pictures: int) -> None:
        """Queues a batch and returns at once.

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
            if graph is None and self.graphs:
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
        if self._context is None:
            return
        with self.device.use("closing"):
            self.stream.synchronize()
            for graph in self._recorded.values():
                graph.close()
            self.around.close()
            # The context first: it knows the addresses.
            self._context = None
            for memory in self._memory:
                memory.free()
            self._recorded, self._memory = {}, []
            # pycuda gives these back only where the context is current; left to the garbage collector they may be lost.
            self.stream = self._begun = self._submitted = self._done = None

    def _queue(self, pictures: int) -> None:
        self.around.before(pictures, self.stream)
        if pictures != self._pictures:
            shape = self.network.input.whole(pictures)
            self._must(self._context.set_input_shape(self.network.input.name, shape), f"a batch of {pictures}")
            self._pictures = pictures
        self._must(self._context.execute_async_v3(self.stream.handle), "inference")
        self.around.behind(pictures, self.stream)

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
