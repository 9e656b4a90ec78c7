"""A plan of TensorRT's, loaded: its tensors, and contexts to run it in. Weights are in memory once for all threads."""

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
    head: what reads its outputs, None: what reads the file's.
    """

    def __init__(self, library: Library, engine: Any, path: Path, head: str | None = None) -> None:
        trt = library.trt
        self.head = head
        self.version = library.version
        self.path = path
        self._library, self._engine = library, engine
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

    def context(self) -> Any:
        """To run it in, for one thread at a time.

        Raises:
            DeviceError: there is no memory for it.
        """
        context = self._engine.create_execution_context()
        if context is None:
            raise self.failure("making an execution context")
        return context

    def failure(self, doing: str) -> DeviceError:
        """The error of a call that TensorRT answered with nothing; why is in its log only."""
        return self._library.failure(f"{self.path}: {doing}")

    def _tensor(self, trt: Any, name: str) -> Tensor:
        shape = tuple(self._engine.get_tensor_shape(name))
        if not shape or min(shape[1:], default=0) < 0:
            raise ModelError(f"{self.path}: the size of {name} depends on the picture; export it without NMS inside")
        return Tensor(name, np.dtype(trt.nptype(self._engine.get_tensor_dtype(name))), shape[1:])


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
