"""A plan of TensorRT's, loaded: its tensors, and contexts to run it in. Weights are in memory once for all threads."""

import threading
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from engines.tensorrt.errors import DeviceError, PlanRefusedError
from engines.tensorrt.library import Library
from streamer.errors import ModelError


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input or output. shape: of one picture's, without the batch axis."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    def whole(self, pictures: int) -> tuple[int, ...]:
        """Shape for a batch."""
        return pictures, *self.shape

    def size(self, pictures: int) -> int:
        """Bytes for a batch."""
        return pictures * prod(self.shape) * self.dtype.itemsize


class Network:
    """A loaded plan with one input, the pictures.

    most: the largest batch; best: the one that it is fastest at; fixed: whether it must be exactly `most`.
    head: what reads its outputs, None: what reads the file's. working_memory: bytes that a context works in.
    """

    def __init__(self, library: Library, engine: Any, path: Path, head: str | None = None) -> None:
        trt = library.trt
        self.head = head
        self.version = library.version
        self.path = path
        self._library, self._engine = library, engine
        # Lanes make contexts while they run, and an engine of TensorRT's is for one thread at a time.
        self._making = threading.Lock()
        self._strategies = trt.ExecutionContextAllocationStrategy
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        inputs = [name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
        if len(inputs) != 1:
            raise ModelError(f"{path}: it has {len(inputs)} inputs; export it with the picture only")
        self.input = self._tensor(trt, inputs[0])
        self.outputs = tuple(self._tensor(trt, name) for name in names if name not in inputs)
        first = engine.get_tensor_shape(inputs[0])[0]
        self.fixed = first >= 0
        profile = [(first,)] * 3 if self.fixed else engine.get_tensor_profile_shape(inputs[0], 0)
        _, self.best, self.most = (int(shape[0]) for shape in profile)
        self.working_memory = int(engine.device_memory_size_v2)

    def context(self, memory: int | None = None) -> Any:
        """To run it in, for one thread at a time.

        memory: address of `working_memory` bytes on the GPU, to be shared by contexts of which never two run at the
        same time; without it, the context takes some of its own.

        Raises:
            DeviceError: there is no memory for it.
        """
        strategy = self._strategies.STATIC if memory is None else self._strategies.USER_MANAGED
        with self._making:
            context = self._engine.create_execution_context(strategy)
        if context is None:
            raise self.failure("making an execution context")
        if memory is not None:
            context.set_device_memory(memory, self.working_memory)
        return context

    def failure(self, doing: str) -> DeviceError:
        """The error of a call that TensorRT answered with nothing; why is in its log only."""
        return self._library.failure(f"{self.path}: {doing}")

    def _tensor(self, trt: Any, name: str) -> Tensor:
        shape = tuple(self._engine.get_tensor_shape(name))
        if not shape or min(shape[1:], default=0) < 0:
            raise ModelError(f"{self.path}: the size of {name} depends on the picture; export it without NMS inside")
        kind = self._engine.get_tensor_dtype(name)
        try:
            return Tensor(name, np.dtype(trt.nptype(kind)), shape[1:])
        except TypeError:  # as of BF16 and FP8
            raise ModelError(
                f"{self.path}: {name} is in {kind.name}, which numpy doesn't have; export it with inputs and outputs "
                "in float32 or float16"
            ) from None


def load_network(
    library: Library, plan: bytes, path: Path, brings_code: bool = False, head: str | None = None
) -> Network:
    """The network of a plan, for the device whose context is current. path: of the model, for messages.

    brings_code: whether the plan is version-compatible, which has its TensorRT inside, to be run on the CPU.
    head: see Network.

    Raises:
        PlanRefusedError: TensorRT can't load it, and that lies in the plan.
        DeviceError: TensorRT can't start, or the GPU failed.
        ModelError: it isn't a network that takes pictures and answers with outputs of one size.
    """
    runtime = library.runtime()
    if brings_code:
        runtime.engine_host_code_allowed = True
    engine = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        error = library.failure(f"{path}: loading the engine")
        raise PlanRefusedError(str(error)) if type(error) is DeviceError else error
    return Network(library, engine, path, head)
