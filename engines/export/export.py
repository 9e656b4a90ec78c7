"""A model in the precision that is wanted, and a file of it."""

import ast
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnx import helper

from engines.export.calibration import CalibrationBatches
from engines.export.half import to_half
from engines.export.integers import Quantised, to_integers
from engines.export.measuring import measured, opened
from streamer.errors import UsageError

if TYPE_CHECKING:
    from engines.training.dataset import Dataset


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """How a model gets into 8 bits.

    dataset: pictures like those of the service; pictures: how many of them are looked at.
    test: other pictures, on which the loss is measured, in `engine`; allowed: AP50 that may be lost.
    """

    dataset: "Dataset"
    pictures: int
    test: "Dataset"
    engine: str
    allowed: float


def in_half(model: Any) -> Any:
    """The model in float16."""
    return _marked(to_half(model), "half")


def in_integers(model: Any, calibration: Calibration, say: Callable[[str], None]) -> Quantised:
    """The model in 8 bits. say: is told how it goes.

    Raises:
        ModelError: too much is lost, or there is nothing to quantise.
        UsageError: there is nothing to measure the loss by.
    """
    detector = opened(model)
    _check_objects(calibration.test, detector.model.classes)

    def judge(candidate: Any) -> float:
        [found] = measured([candidate], [""], calibration.test, calibration.engine, timed=0)
        return found.AP50

    batches = CalibrationBatches(detector, calibration.dataset, calibration.pictures)
    found = to_integers(model, batches, judge, calibration.allowed, say)
    return Quantised(_marked(found.model, "int8"), found.layers, found.left_alone, found.lost)


def _check_objects(test: "Dataset", classes: Sequence[str]) -> None:
    shared = {number for number, name in enumerate(test.names) if name in classes}
    labels = ((test.known(picture.source), picture.classes[~picture.crowd].tolist()) for picture in test.pictures)
    if shared and not any(shared & known & set(kinds) for known, kinds in labels):
        raise UsageError(
            "int8: no object of the model's classes in the pictures that are measured on, so no AP50 to tell by which "
            "layers stand 8 bits; name labelled ones by --measure, or another part by --split"
        )


def write(model: Any, path: Path) -> None:
    """Writes the file whole, or leaves what was there.

    Raises:
        UsageError: it can't be written there.
    """
    unfinished = path.with_name(f"{path.name}.unfinished")
    try:
        unfinished.write_bytes(model.SerializeToString())
        os.replace(unfinished, path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise UsageError(f"--output {path}: can't be written: {error.strerror}") from None


def _marked(model: Any, precision: str) -> Any:
    """The model, with `precision` (half or int8) in its metadata where Ultralytics has it."""
    properties = {each.key: each.value for each in model.metadata_props}
    arguments = ast.literal_eval(properties["args"]) if "args" in properties else {}
    helper.set_model_props(model, {**properties, "args": str({**arguments, precision: True})})
    return model
