"""ONNX Runtime on the CPU."""

import threading
import weakref
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as native

from engines.engine import Engine, InputSpec, refusal
from engines.onnx_file import OnnxFile

NAME = "onnxruntime"
# The library's exceptions have no base class of their own.
_FAILURES: tuple[type[Exception], ...] = (
    native.EPFail, native.Fail, native.InvalidArgument, native.InvalidGraph, native.InvalidProtobuf,
    native.NoSuchFile, native.NotImplemented, native.RuntimeException, RuntimeError, ValueError,
)  # fmt: skip
_NOTHING_LOGGED = 4

_sessions: "weakref.WeakValueDictionary[str, onnxruntime.InferenceSession]" = weakref.WeakValueDictionary()
_opening = threading.Lock()


def open_engine(file: OnnxFile, spec: InputSpec, threads: int) -> Engine:
    """The file loaded into ONNX Runtime, `threads` cores per inference.

    Raises:
        ModelError: it can't be loaded.
    """
    try:
        session = _shared_session(file) if threads == 1 else _session(file, threads)
    except _FAILURES as error:
        raise refusal(file, "ONNX Runtime", error) from None
    return OnnxRuntimeEngine(file, spec, session)


def _shared_session(file: OnnxFile) -> "onnxruntime.InferenceSession":
    """One session for all threads: runs are independent of each other, and the weights are in memory once.

    Only without threads of its own: two runs would share a pool of them, and wait for each other.
    """
    with _opening:
        session = _sessions.get(file.sha256)
        if session is None:
            session = _sessions[file.sha256] = _session(file, 1)
        return session


def _session(file: OnnxFile, threads: int) -> "onnxruntime.InferenceSession":
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = _NOTHING_LOGGED  # what is wrong is raised
    # A waiting thread sleeps; by default it burns its core until the next inference.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(file.path), options, providers=["CPUExecutionProvider"])


class OnnxRuntimeEngine:
    """A session, and output buffers that are made once per batch size."""

    def __init__(self, file: OnnxFile, spec: InputSpec, session: "onnxruntime.InferenceSession") -> None:
        self.name = NAME
        self.version: str = onnxruntime.__version__
        self.input = spec
        self._file = file
        self._session: Any = session
        self._input_name = file.inputs[0].name
        # Only sizes that the file fixes can be relied on; others may depend on what is in the picture.
        self._sized = all(isinstance(size, int) for output in file.outputs for size in output.shape[1:])
        self._bound: dict[int, tuple[Any, list[NDArray[Any]]]] = {}

    def infer(self, batch: NDArray[Any]) -> list[NDArray[Any]]:
        """See Engine."""
        try:
            if not self._sized:
                return self._plain(batch)
            if len(batch) not in self._bound:
                return self._first(batch)
            binding, outputs = self._bound[len(batch)]
            binding.bind_cpu_input(self._input_name, batch)  # where it lies: it isn't copied
            self._session.run_with_iobinding(binding)
        except _FAILURES as error:
            raise refusal(self._file, "ONNX Runtime", error) from None
        return outputs

    def close(self) -> None:
        """See Engine."""
        self._bound.clear()
        self._session = None

    def _plain(self, batch: NDArray[Any]) -> list[NDArray[Any]]:
        outputs: list[NDArray[Any]] = self._session.run(None, {self._input_name: batch})
        return outputs

    def _first(self, batch: NDArray[Any]) -> list[NDArray[Any]]:
        """Runs once for the outputs' sizes, and keeps its results as the buffers of all later runs."""
        outputs = [np.ascontiguousarray(output) for output in self._plain(batch)]
        binding = self._session.io_binding()
        for spec, output in zip(self._file.outputs, outputs, strict=True):
            binding.bind_output(spec.name, "cpu", 0, output.dtype, output.shape, output.ctypes.data)
        self._bound[len(batch)] = binding, outputs
        return outputs
