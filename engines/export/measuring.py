"""What models are worth before they are written where their user wants them."""

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx

from engines.detector import Detector, open_detector
from engines.evaluation.candidate import open_candidate
from engines.evaluation.evaluate import TIMED, Evaluation, evaluate
from streamer.settings import DetectSettings

if TYPE_CHECKING:
    from engines.training.dataset import Dataset


def opened(model: Any) -> Detector:
    """A detector of the model, in ONNX Runtime."""
    with tempfile.TemporaryDirectory(prefix="streamer-") as folder:
        return open_detector(DetectSettings(model=str(_saved(model, folder, "model"))), threads=1)


def measured(
    models: Sequence[Any], names: Sequence[str], test: "Dataset", engine: str, timed: int = TIMED
) -> list[Evaluation]:
    """The models side by side on a data set. names: what they are called in the results."""
    with tempfile.TemporaryDirectory(prefix="streamer-") as folder:
        paths = [_saved(model, folder, f"{number}") for number, model in enumerate(models)]
        settings = [DetectSettings(model=str(path), engine=engine) for path in paths]
        candidates = [open_candidate(each, test.names) for each in settings]
        found = evaluate(candidates, test, timed=timed)
    for candidate in candidates:
        candidate.close()
    return [replace(each, model=name) for each, name in zip(found, names, strict=True)]


def _saved(model: Any, folder: str, name: str) -> Path:
    path = Path(folder, f"{name}.onnx")
    onnx.save(model, str(path))
    return path
