"""All that can be said of a model file: what it holds, how it is read, what it costs."""

import statistics
import time
from dataclasses import dataclass
from typing import Any

from engines.detector import Detector, open_detector
from engines.onnx_file import OnnxFile, TensorSpec, read_onnx
from streamer.settings import DetectSettings

_RUNS = 5


@dataclass(frozen=True, slots=True)
class Inspection:
    """A file, the detector that it makes, and CPU milliseconds per picture on one thread."""

    file: OnnxFile
    detector: Detector
    network_cpu_ms: float

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        file, model = self.file, self.detector.model
        return {
            "file": str(file.path),
            "bytes": file.size,
            "sha256": file.sha256,
            "producer": file.producer,
            "opsets": {domain or "ai.onnx": version for domain, version in file.opsets.items()},
            "metadata": dict(file.metadata),
            "precision": file.precision,
            "operators": sum(file.operators.values()),
            "inputs": [_tensor(spec) for spec in file.inputs],
            "outputs": [_tensor(spec) for spec in file.outputs],
            "picture": {
                "width": model.width,
                "height": model.height,
                "colour": model.colour,
                "range": [0, round(255 * model.factor)],
                "padding": model.padding,
            },
            "batch": self.detector.batch,
            "fixed_batch": self.detector.engine.input.fixed_batch,
            "head": model.head,
            "confidence": model.confidence,
            "iou": self.detector.iou,
            "head_because": model.reason,
            "classes": list(model.classes),
            "named_by": model.named_by,
            "engine": f"{self.detector.engine.name} {self.detector.engine.version}",
            "cpu_ms_per_picture": round(self.network_cpu_ms, 2),
        }


def inspect(settings: DetectSettings) -> Inspection:
    """Opens the model of the settings and times it on one thread.

    Raises:
        ModelError: the file is missing, damaged, or of an unknown layout.
        UsageError: there is no such engine.
    """
    detector = open_detector(settings, threads=1)
    batch = detector.new_batch(detector.batch)
    taken = []
    for _ in range(_RUNS):
        start = time.process_time()
        detector.engine.infer(batch)
        taken.append((time.process_time() - start) / detector.batch * 1000)
    return Inspection(read_onnx(detector.model.path), detector, statistics.median(taken))


def _tensor(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "dtype": spec.dtype, "shape": list(spec.shape)}
