"""Where an export starts: a checkpoint, or an ONNX file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnx import helper

from engines.export.graph_reading import load_model
from engines.onnx_file import read_onnx
from engines.training.schedule import LARGEST_SIDE
from streamer.errors import ModelError, UsageError
from streamer.extras import how_to_install

_STRIDE = 32


@dataclass(frozen=True, slots=True)
class Shape:
    """What is open in a checkpoint.

    size: width and height of the input in pixels, None: the square that it was trained for. batch: pictures per
    inference, 0: any number.
    """

    size: tuple[int, int] | None = None
    batch: int = 1


def from_checkpoint(path: Path, shape: Shape, others: Sequence[Path] = ()) -> Any:
    """The ONNX model, float32, of a checkpoint of `streamer train`. others: whose weights' mean is taken with its own.

    Raises:
        ModelError: it is no checkpoint.
        UsageError: PyTorch is not installed, there can be no such size, or no such mean.
    """
    try:
        from engines.training.checkpoint import read_content
        from engines.training.classify.checkpoint import FORMAT as CLASSIFIER
    except ImportError:
        raise UsageError(f"reading a checkpoint needs PyTorch: {how_to_install('train')}") from None
    if not others and read_content(path)["format"] == CLASSIFIER:
        return _classifier(path, shape)
    return _detector([path, *others], shape)


def _detector(paths: Sequence[Path], shape: Shape) -> Any:
    from engines.export.detector_graph import detector_model
    from engines.export.metadata import metadata
    from engines.training.averaging import averaged
    from engines.training.checkpoint import load_checkpoint
    from engines.training.validation import IOU

    checkpoint = averaged(paths) if len(paths) > 1 else load_checkpoint(paths[0])
    size = _size(shape, checkpoint.size)
    properties = metadata(checkpoint.names, size, shape.batch, iou=IOU)
    return detector_model(checkpoint.network(), len(checkpoint.names), size, shape.batch, properties)


def _classifier(path: Path, shape: Shape) -> Any:
    from engines.export.classifier_graph import classifier_model
    from engines.export.metadata import metadata
    from engines.training.classify.checkpoint import load_classifier

    checkpoint = load_classifier(path)
    size = _size(shape, checkpoint.size)
    properties = metadata(checkpoint.names, size, shape.batch, "classify")
    return classifier_model(checkpoint.network(), len(checkpoint.names), size, shape.batch, properties)


def _size(shape: Shape, trained: int) -> tuple[int, int]:
    size = shape.size or (trained, trained)
    for side in size:
        if not _STRIDE <= side <= LARGEST_SIDE or side % _STRIDE:
            raise UsageError(f"--size {'x'.join(map(str, size))}: give multiples of {_STRIDE}, {LARGEST_SIDE} at most")
    return size


def from_onnx(path: Path) -> Any:
    """The model in an ONNX file, float32.

    Raises:
        ModelError: it can't be read, or isn't in float32.
    """
    precision = read_onnx(path).precision
    if precision != "fp32":
        raise ModelError(f"{path}: it is in {precision} already; start from the file in fp32")
    return load_model(path)


def state(model: Any, **said: str | float | None) -> None:
    """Writes what is not None into a model's metadata, over what they say."""
    properties = {each.key: each.value for each in model.metadata_props}
    helper.set_model_props(model, properties | {key: str(value) for key, value in said.items() if value is not None})
