"""A TensorRT for tests without a GPU: a plan is an ONNX file, and ONNX Runtime computes it on a simulated GPU."""

import ctypes
import json
import struct
from enum import Enum, IntEnum
from types import ModuleType
from typing import Any

import numpy as np
import onnxruntime

from tests.fakes.gpu import Gpu

_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(int64)": np.int64}


def plan_of(model: bytes, most: int, brings_code: bool = False) -> bytes:
    """What `deserialize_cuda_engine` takes. most: of the profile, where the model leaves the batch open.

    brings_code: as version-compatible plans do.
    """
    return (b"CODE" if brings_code else b"PLAN") + struct.pack("<i", most) + model


def tensorrt(gpu: Gpu) -> ModuleType:
    """The module `tensorrt`, as far as the runtime uses it. The largest batch and the failures are the GPU's."""

    class TensorIOMode(IntEnum):
        NONE = 0
        INPUT = 1
        OUTPUT = 2

    class Severity(Enum):
        INTERNAL_ERROR = 0
        ERROR = 1
        WARNING = 2
        INFO = 3
        VERBOSE = 4

    class ILogger:
        def __init__(self) -> None:
            pass

        def log(self, severity: Any, msg: str) -> None:
            raise NotImplementedError

    ILogger.Severity = Severity  # type: ignore[attr-defined]

    class ExecutionContextAllocationStrategy(IntEnum):
        STATIC = 0
        ON_PROFILE_CHANGE = 1
        USER_MANAGED = 2

    class ICudaEngine:
        def __init__(self, plan: bytes, log: Any) -> None:
            [self.most] = struct.unpack_from("<i", plan, 4)
            self.session = onnxruntime.InferenceSession(plan[8:], providers=["CPUExecutionProvider"])
            self.log = log
            self._inputs = {each.name: each for each in self.session.get_inputs()}
            self._tensors = self._inputs | {each.name: each for each in self.session.get_outputs()}

        @property
        def device_memory_size_v2(self) -> int:
            return 1024 * self.most

        @property
        def num_io_tensors(self) -> int:
            return len(self._tensors)

        def get_tensor_name(self, index: int) -> str:
            return list(self._tensors)[index]

        def get_tensor_mode(self, name: str) -> TensorIOMode:
            return TensorIOMode.INPUT if name in self._inputs else TensorIOMode.OUTPUT

        def get_tensor_shape(self, name: str) -> tuple[int, ...]:
            return tuple(size if isinstance(size, int) else -1 for size in self._tensors[name].shape)

        def get_tensor_dtype(self, name: str) -> Any:
            return _TYPES[self._tensors[name].type]

        def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[tuple[int, ...]]:
            shape = self.get_tensor_shape(name)
            return [(batch, *shape[1:]) for batch in (1, self.most, self.most)]

        def create_engine_inspector(self) -> "EngineInspector":
            return EngineInspector(self)

        def create_execution_context(
            self, strategy: ExecutionContextAllocationStrategy = ExecutionContextAllocationStrategy.STATIC
        ) -> "IExecutionContext | None":
            gpu.calls["create_execution_context"] += 1
            if "create_execution_context" in gpu.broken:
                self.log.log(Severity.ERROR, str(gpu.broken["create_execution_context"]))
                return None
            return IExecutionContext(self, strategy)

    class LayerInformationFormat(Enum):
        ONELINE = 0
        JSON = 1

    class EngineInspector:
        """A layer per output."""

        def __init__(self, engine: ICudaEngine) -> None:
            self._outputs = engine.session.get_outputs()

        def get_engine_information(self, format: LayerInformationFormat) -> str:
            assert format is LayerInformationFormat.JSON
            layers = [{"Name": each.name, "LayerType": "Simulated", "Outputs": []} for each in self._outputs]
            return json.dumps({"Layers": layers, "Bindings": []})

    class IExecutionContext:
        """What is undefined with a real one fails: a graph that is launched when its context has another shape than
        when it was recorded, a shape that is recorded before it was run, memory of the user's that isn't there.
        """

        def __init__(self, engine: ICudaEngine, strategy: ExecutionContextAllocationStrategy) -> None:
            self._engine = engine
            self._addresses: dict[str, int] = {}
            self._shape: tuple[int, ...] = engine.get_tensor_shape(engine.get_tensor_name(0))
            self._shapes = self._run = 0  # how many shapes it has had, and up to which of them it was run
            self._managed = strategy is not ExecutionContextAllocationStrategy.USER_MANAGED
            self._memory: int | None = None

        def set_device_memory(self, memory: int, size: int) -> None:
            if size < self._engine.device_memory_size_v2 or memory % 256:
                self._engine.log.log(Severity.ERROR, "the device memory is too small or not aligned")
            else:
                self._memory = memory

        def set_tensor_address(self, name: str, memory: int) -> bool:
            self._addresses[name] = memory
            return self._works("set_tensor_address")

        def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
            gpu.calls["set_input_shape"] += 1
            fixed = self._engine.get_tensor_shape(name)[0]
            if shape[0] > self._engine.most or fixed not in (-1, shape[0]):
                self._engine.log.log(Severity.ERROR, f"a batch of {shape[0]} is not in the profile")
                return False
            self._shapes += tuple(shape) != self._shape
            self._shape = tuple(shape)
            return self._works("set_input_shape")

        def execute_async_v3(self, stream_handle: int) -> bool:
            gpu.calls["execute_async_v3"] += 1
            if not self._works("execute_async_v3"):
                return False
            if not self._managed and self._memory is None:
                self._engine.log.log(Severity.ERROR, "the device memory has not been set")
                return False
            stream, shape, shapes = gpu.streams[stream_handle], self._shape, self._shapes
            if stream.recording is None:
                self._run = shapes
                # The shape is part of what is queued.
                stream.put(lambda: self._compute(shape))
                return True
            if self._run != shapes:
                self._engine.log.log(Severity.ERROR, "a new shape must be run before it is captured")
                return False
            stream.put(lambda: self._replay(shape, shapes))
            return True

        def _replay(self, shape: tuple[int, ...], shapes: int) -> None:
            assert self._shapes == shapes, f"the graph of {shape} is broken: its context has had another shape since"
            self._compute(shape)

        def _works(self, call: str) -> bool:
            if call in gpu.broken:
                self._engine.log.log(Severity.ERROR, str(gpu.broken[call]))
            return call not in gpu.broken

        def _compute(self, shape: tuple[int, ...]) -> None:
            assert self._managed or self._memory in gpu.taken, "its device memory is gone"
            session = self._engine.session
            [given] = session.get_inputs()
            picture = _array(self._addresses[given.name], shape, _TYPES[given.type])
            answers = session.run(None, {given.name: picture})
            for output, answer in zip(session.get_outputs(), answers, strict=True):
                _array(self._addresses[output.name], answer.shape, answer.dtype)[...] = answer

    class Runtime:
        def __init__(self, logger: Any) -> None:
            self._logger = logger
            self.engine_host_code_allowed = False
            self._hollow = "Runtime" in gpu.broken
            if self._hollow:
                logger.log(Severity.ERROR, str(gpu.broken["Runtime"]))
                logger.log(Severity.ERROR, "Cuda Runtime (In catchCudaError)")

        def deserialize_cuda_engine(self, serialized_engine: bytes) -> ICudaEngine | None:
            assert not self._hollow, "the real one would end the process"
            if serialized_engine.startswith(b"CODE") and not self.engine_host_code_allowed:
                self._logger.log(Severity.ERROR, "the plan has code for the host, which is not allowed")
                return None
            if not serialized_engine.startswith((b"PLAN", b"CODE")):
                self._logger.log(Severity.ERROR, "Serialization assertion magicTagRead failed")
                return None
            return ICudaEngine(serialized_engine, self._logger)

    module = ModuleType("tensorrt")
    classes = (
        TensorIOMode, ILogger, ExecutionContextAllocationStrategy, ICudaEngine, LayerInformationFormat,
        EngineInspector, IExecutionContext, Runtime,
    )  # fmt: skip
    module.__dict__.update({each.__name__: each for each in classes})
    module.__dict__.update(nptype=lambda trt_type: trt_type, __version__="10.0.0")
    return module


def _array(address: int, shape: tuple[int, ...], dtype: Any) -> Any:
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = (ctypes.c_char * size).from_address(address)
    return np.frombuffer(memory, dtype).reshape(shape)
