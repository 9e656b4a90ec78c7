"""A classifier: from a crop to the probabilities of its classes. The second stage behind a detector."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.detections import Floats
from engines.engine import Engine, open_engine
from engines.letterbox import Letterbox
from engines.model import class_names, input_spec
from engines.onnx_file import OnnxFile, read_onnx
from streamer.errors import ModelError


class Classifier:
    """A model that is ready. One per inference thread.

    names: of its classes. file: what it was loaded from. engine: what runs it.
    """

    def __init__(self, file: OnnxFile, engine: Engine, names: tuple[str, ...]) -> None:
        self.file = file
        self.engine = engine
        self.names = names

    @property
    def batch(self) -> int:
        """The most pictures per inference."""
        return self.engine.input.batch

    def new_batch(self, pictures: int) -> NDArray[Any]:
        """A batch (pictures, 3, height, width), black, to be prepared into."""
        return np.zeros(self.engine.input.shape(pictures), self.engine.input.dtype)

    def prepare(self, picture: NDArray[np.uint8], into: NDArray[Any]) -> None:
        """Fills a slot of a batch with a crop, uint8 (height, width, 3) RGB, of any size."""
        stretched(picture, into, 1 / 255)

    def probabilities(self, batch: NDArray[Any]) -> Floats:
        """float32 (pictures, classes) for a batch, as the file gives them; the caller's own.

        Raises:
            ModelError: the network can't be run on it.
        """
        [found] = self.engine.infer(batch)
        return np.array(found.reshape(len(batch), -1), np.float32)

    def close(self) -> None:
        """Lets the engine go."""
        self.engine.close()


def stretched(picture: NDArray[np.uint8], into: NDArray[Any], factor: float = 1) -> None:
    """A crop as classifiers see it: resized to their input, width and height each by its own factor, nothing cut off.

    A crop's own shape is lost; what it shows up to its border, where a box fits its object, is not.

    picture: uint8 (height, width, 3) RGB. into: (3, height, width), overwritten. factor: channel values times this.
    """
    height, width = picture.shape[:2]
    Letterbox(into.shape[2], into.shape[1], "stretch", factor).prepare(picture, (width, height), into)


def open_classifier(path: Path, engine: str, threads: int = 1, batch: int = 1) -> Classifier:
    """The classifier of a file, loaded into the engine of that name.

    threads: cores per inference. batch: the most pictures per inference, where the file leaves that open.

    Raises:
        ModelError: the file is missing, damaged, or no classifier of RGB pictures.
        UsageError: there is no such engine.
    """
    file = read_onnx(path)
    if not is_classifier(file):
        raise ModelError(f"{path}: its outputs are not those of a classifier, (pictures, classes)")
    classes, names = file.outputs[0].shape[1], class_names(file)
    if not names and isinstance(classes, int):
        names = tuple(f"class {number}" for number in range(classes))
    if isinstance(classes, int) and len(names) != classes:
        raise ModelError(f"{path}: it names {len(names)} classes and its output has {classes}")
    return Classifier(file, open_engine(engine, file, input_spec(file, batch), threads), names)


def is_classifier(file: OnnxFile) -> bool:
    """Whether a file is one by the shape of its outputs: a row of numbers per picture, and nothing else."""
    return len(file.outputs) == 1 and len(file.outputs[0].shape) == 2
