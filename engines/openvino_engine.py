"""OpenVINO on the CPU (extra `openvino`). INT8 files run two to three times faster in it than in ONNX Runtime."""

import logging
import threading
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.agreement import ENOUGH, agreement
from engines.engine import Engine, InputSpec, refusal
from engines.onnx_file import OnnxFile
from engines.openvino_unsigned import use_unsigned
from streamer.errors import UsageError
from streamer.extras import how_to_install

NAME = "openvino"
_NO_WORSE = 0.01  # of agreement: two ways that are both right differ by less
_log = logging.getLogger(__name__)
_chosen: dict[str, "Integers"] = {}
_choosing = threading.Lock()


class Integers(Enum):
    """How an INT8 file is computed."""

    AS_THEY_ARE = "as the file says"
    UNSIGNED = "signed activations that are never negative as unsigned ones"
    NONE = "in float32"


def open_engine(file: OnnxFile, spec: InputSpec, threads: int) -> Engine:
    """The file loaded into OpenVINO, `threads` cores per inference.

    Raises:
        UsageError: OpenVINO is not installed.
        ModelError: it can't be loaded.
    """
    openvino = _library()
    try:
        integers = _integers(openvino, file, spec) if file.precision.startswith("int8") else Integers.AS_THEY_ARE
        return _open(openvino, file, spec, threads, integers)
    except RuntimeError as error:
        raise refusal(file, "OpenVINO", error) from None


def check() -> None:
    """See engines.engine.

    Raises:
        UsageError: OpenVINO is not installed.
    """
    _library()


def _library() -> Any:
    try:
        import openvino.preprocess
    except ImportError:
        raise UsageError(f"engine openvino is not installed: {how_to_install('openvino')}") from None
    return openvino


def _integers(openvino: Any, file: OnnxFile, spec: InputSpec) -> Integers:
    """The first way that computes this file on this processor as well as any, compared with float32."""
    with _choosing:
        if file.sha256 not in _chosen:
            exact = _open(openvino, file, spec, 1, Integers.NONE)
            ways = Integers.AS_THEY_ARE, Integers.UNSIGNED
            alike = {way: agreement(_open(openvino, file, spec, 1, way), exact) for way in ways}
            least = max(ENOUGH, *(found - _NO_WORSE for found in alike.values()))
            _chosen[file.sha256] = next((way for way in ways if alike[way] >= least), Integers.NONE)
            if _chosen[file.sha256] is Integers.NONE:
                _log.warning(
                    "OpenVINO's INT8 kernels compute %s wrongly on this processor, so they are off: it is right, and "
                    "not faster than FP32; INT8 files of networks with ReLU are right everywhere",
                    file.path,
                )
        return _chosen[file.sha256]


def _open(openvino: Any, file: OnnxFile, spec: InputSpec, threads: int, integers: Integers) -> "OpenVinoEngine":
    def compiled(factor: float | None) -> Any:
        return _request(openvino, _network(openvino, file, spec, integers, factor), threads, integers)

    return OpenVinoEngine(openvino, file, spec, compiled)


def _network(openvino: Any, file: OnnxFile, spec: InputSpec, integers: Integers, factor: float | None) -> Any:
    """The network of the file; with a factor, it takes bytes as they lie in pictures, times that."""
    network = openvino.Core().read_model(file.path)
    first = spec.batch if spec.fixed_batch or spec.batch == 1 else openvino.Dimension(1, spec.batch)
    network.reshape(openvino.PartialShape([first, 3, spec.height, spec.width]))
    if integers is Integers.UNSIGNED:
        use_unsigned(openvino, network)
    if factor is None:
        return network
    steps = openvino.preprocess.PrePostProcessor(network)
    steps.input().tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
    steps.input().model().set_layout(openvino.Layout("NCHW"))
    steps.input().preprocess().convert_element_type(openvino.Type.f32).scale(1 / factor)
    return steps.build()


def _request(openvino: Any, network: Any, threads: int, integers: Integers) -> Any:
    """Of a network compiled for one engine alone: with one stream, two requests of one network would queue."""
    options = {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": "1",
        "INFERENCE_NUM_THREADS": str(threads),
        "ENABLE_CPU_PINNING": "NO",
        # Else it computes in bfloat16 where the processor can, and boxes differ between machines.
        "INFERENCE_PRECISION_HINT": "f32",
    }
    if integers is Integers.NONE:
        options["LP_TRANSFORMS_MODE"] = "NO"
    return openvino.Core().compile_model(network, "CPU", options).create_infer_request()


class OpenVinoEngine:
    """An inference request; inputs are read, and outputs left, where they are.

    compiled: gives a request, for floats, or for bytes that are multiplied by a factor.
    """

    def __init__(self, openvino: Any, file: OnnxFile, spec: InputSpec, compiled: Callable[[float | None], Any]) -> None:
        self.name = NAME
        self.version: str = openvino.__version__.split("-")[0]
        self.input = spec
        self._file = file
        self._compiled = compiled
        self._request = compiled(None)
        self._tensor = openvino.Tensor

    def take_bytes(self, factor: float) -> None:
        """See ByteEngine."""
        if self.input.dtype != np.float32:
            return
        taking = copy(self)
        try:
            taking._request = self._compiled(factor)
        except RuntimeError as error:
            raise refusal(self._file, "OpenVINO", error) from None
        taking.input = replace(self.input, dtype=np.dtype(np.uint8))
        # How INT8 is computed was chosen with floats.
        if self._file.precision.startswith("int8") and agreement(taking, self, factor) < ENOUGH:
            _log.warning("OpenVINO answers otherwise to bytes than to floats: %s is given floats", self._file.path)
            return
        self.input, self._request = taking.input, taking._request

    def infer(self, batch: NDArray[Any]) -> list[NDArray[Any]]:
        """See Engine."""
        try:
            # What `infer` does with an array given to it, by more steps, costs a twentieth of a small INT8 network.
            self._request.set_input_tensor(self._tensor(batch, shared_memory=True))
            self._request.infer(share_outputs=True)
        except RuntimeError as error:
            raise refusal(self._file, "OpenVINO", error) from None
        return [self._request.get_output_tensor(index).data for index in range(len(self._file.outputs))]

    def close(self) -> None:
        """See Engine."""
        self._request = None
