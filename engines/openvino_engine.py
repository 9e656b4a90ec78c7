"""OpenVINO on the CPU (extra `openvino`). INT8 files run two to three times faster in it than in ONNX Runtime."""

import logging
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.agreement import agree
from engines.engine import Engine, InputSpec, refusal
from engines.onnx_file import OnnxFile
from streamer.errors import UsageError

NAME = "openvino"
_log = logging.getLogger(__name__)
_trusted: dict[str, bool] = {}
_checking = threading.Lock()


def open_engine(file: OnnxFile, spec: InputSpec, threads: int) -> Engine:
    """The file loaded into OpenVINO, `threads` cores per inference.

    Raises:
        UsageError: OpenVINO is not installed.
        ModelError: it can't be loaded.
    """
    try:
        import openvino
    except ImportError:
        raise UsageError(
            "engine openvino is not installed; install it with: pip install 'streamer[openvino]'"
        ) from None
    try:
        engine = _open(openvino, file, spec, threads, int8=True)
        if file.precision.startswith("int8") and not _trust(engine, file):
            engine = _open(openvino, file, spec, threads, int8=False)
    except RuntimeError as error:
        raise refusal(file, "OpenVINO", error) from None
    return engine


def _trust(engine: Engine, file: OnnxFile) -> bool:
    """Whether OpenVINO's INT8 kernels compute this file as ONNX Runtime does.

    On processors without VNNI they don't where activations are signed (seen with 2026.4: not a box was found).
    """
    from engines import onnxruntime_engine

    with _checking:
        if file.sha256 not in _trusted:
            reference = onnxruntime_engine.open_engine(file, engine.input, threads=1)
            _trusted[file.sha256] = agree(engine, reference)
            reference.close()
            if not _trusted[file.sha256]:
                _log.warning(
                    "OpenVINO's INT8 kernels compute %s wrongly on this processor, so they are off: it is right, and "
                    "not faster than FP32; quantise it with unsigned activations",
                    file.path,
                )
        return _trusted[file.sha256]


def _open(openvino: Any, file: OnnxFile, spec: InputSpec, threads: int, int8: bool) -> Engine:
    """A network compiled for this engine alone: with one stream, two requests of one network would queue."""
    core = openvino.Core()
    model = core.read_model(file.path)
    first = spec.batch if spec.fixed_batch or spec.batch == 1 else openvino.Dimension(1, spec.batch)
    model.reshape(openvino.PartialShape([first, 3, spec.height, spec.width]))
    options = {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": "1",
        "INFERENCE_NUM_THREADS": str(threads),
        "ENABLE_CPU_PINNING": "NO",
        # Else it computes in bfloat16 where the processor can, and boxes differ between machines.
        "INFERENCE_PRECISION_HINT": "f32",
    }
    if not int8:
        options["LP_TRANSFORMS_MODE"] = "NO"
    request = core.compile_model(model, "CPU", options).create_infer_request()
    return OpenVinoEngine(file, spec, request, openvino.__version__)


class OpenVinoEngine:
    """An inference request; inputs are read, and outputs left, where they are."""

    def __init__(self, file: OnnxFile, spec: InputSpec, request: Any, version: str) -> None:
        self.name = NAME
        self.version = version.split("-")[0]
        self.input = spec
        self._file = file
        self._request = request

    def infer(self, batch: NDArray[Any]) -> list[NDArray[Any]]:
        """See Engine."""
        try:
            results = self._request.infer([batch], share_inputs=True, share_outputs=True)
        except RuntimeError as error:
            raise refusal(self._file, "OpenVINO", error) from None
        return [np.asarray(results[index]) for index in range(len(self._file.outputs))]

    def close(self) -> None:
        """See Engine."""
        self._request = None
