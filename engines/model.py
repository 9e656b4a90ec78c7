"""What a detector's file means: its input, its class names, how pictures must be given to it."""

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast, get_args

import numpy as np

from engines.coco import NAMES
from engines.engine import InputSpec
from engines.heads.head import Head
from engines.letterbox import Letterbox, Padding
from engines.onnx_file import OnnxFile
from streamer.errors import ModelError

Colour = Literal["RGB", "BGR"]
_FACTORS = {"1": 1 / 255, "255": 1.0}
_CONFIDENCE = 0.25
_IOU = 0.6  # YOLOX's and YOLOv5's own tools take .45 to .65, Ultralytics' .7


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A detector.

    sha256: of its file.
    width, height: of the network's input, in pixels.
    classes: names, by class number; named_by: where they are from.
    head, reason: what reads its outputs, and why that.
    colour: order of the channels that it wants.
    factor: what a channel value (0 to 255) is multiplied by.
    iou: overlap beyond which boxes of one class are one, for heads that don't decide that themselves.
    confidence: least score of an object, but for classes that have another.
    """

    path: Path
    sha256: str
    width: int
    height: int
    classes: tuple[str, ...]
    head: str
    reason: str
    padding: Padding
    colour: Colour
    factor: float
    named_by: Literal["file", "COCO", "number"]
    iou: float = _IOU
    confidence: float = _CONFIDENCE

    @property
    def letterbox(self) -> Letterbox:
        """How pictures get into its input."""
        return Letterbox(self.width, self.height, self.padding, self.factor)


def input_spec(file: OnnxFile, batch: int = 0) -> InputSpec:
    """What goes into the network.

    batch: pictures per inference, where the file leaves that open; 0: one, unless the engine wants more.

    Raises:
        ModelError: it does not take pictures as (pictures, 3, height, width).
    """
    if len(file.inputs) != 1:
        names = ", ".join(spec.name for spec in file.inputs)
        raise ModelError(f"{file.path}: it has {len(file.inputs)} inputs ({names}); export it with the picture only")
    [spec] = file.inputs
    if len(spec.shape) != 4 or (spec.shape[1] not in (3, "?") and isinstance(spec.shape[1], int)):
        raise ModelError(f"{file.path}: its input is {spec}, not (pictures, 3, height, width); export it as NCHW, RGB")
    if spec.dtype not in ("float32", "float16"):
        raise ModelError(f"{file.path}: its input is {spec}; export it with an input of float32 or float16")
    height, width = _size(file, spec.shape[2:])
    fixed = spec.shape[0] if isinstance(spec.shape[0], int) else None
    undecided = not (fixed or batch)
    return InputSpec(width, height, fixed or batch or 1, fixed is not None, np.dtype(spec.dtype), undecided)


def _size(file: OnnxFile, shape: tuple[int | str, ...]) -> tuple[int, int]:
    """Height and width: the file's, or where it leaves them open, those that it was exported for."""
    told = _literal(file, "imgsz", "a size or [height, width]")
    told = [told, told] if isinstance(told, int) else told or [0, 0]
    if not isinstance(told, list | tuple) or len(told) != 2 or not all(isinstance(size, int) for size in told):
        raise ModelError(f"{file.path}: metadata imgsz is {told!r}, not a size or [height, width]")
    sizes = [size if isinstance(size, int) else other for size, other in zip(shape, told, strict=True)]
    if min(sizes) < 1:
        raise ModelError(f"{file.path}: its input's size is open; export it for a fixed one, or with metadata imgsz")
    return sizes[0], sizes[1]


def class_names(file: OnnxFile) -> tuple[str, ...]:
    """The names in the file, none if it has none.

    Raises:
        ModelError: they can't be read.
    """
    found = _literal(file, "names", "a list, or a table from number to name")
    if found is None:
        return ()
    if isinstance(found, Mapping):
        try:
            numbered = {int(number): name for number, name in found.items()}
            found = [numbered[number] for number in range(len(numbered))]
        except (KeyError, ValueError):
            raise ModelError(f"{file.path}: metadata names has no name for each number from 0 on") from None
    if not isinstance(found, list | tuple) or not found:
        raise ModelError(f"{file.path}: metadata names is not a list, or a table from number to name")
    return tuple(map(str, found))


def describe_model(
    file: OnnxFile,
    spec: InputSpec,
    head: Head,
    reason: str,
    padding: str = "auto",
    iou: float | None = None,
    confidence: float | None = None,
) -> ModelInfo:
    """All of it. padding, iou, confidence: over what the file and its head want, unless "auto" and None.

    Raises:
        ModelError: the metadata contradict the outputs, or can't be read.
    """
    names = class_names(file)
    if names and head.classes not in (None, len(names)):
        raise ModelError(f"{file.path}: it names {len(names)} classes and its outputs have {head.classes}")
    convention = head.convention
    colour = _choice(file, "colour", get_args(Colour)) or convention.colour
    border = padding if padding != "auto" else _choice(file, "padding", get_args(Padding)) or convention.padding
    limit = _choice(file, "range", tuple(_FACTORS))
    named_by: Literal["file", "COCO", "number"] = "file"
    if not names:
        names, named_by = _default_names(head.classes)
    return ModelInfo(
        file.path,
        file.sha256,
        spec.width,
        spec.height,
        names,
        head.name,
        reason,
        cast(Padding, border),
        cast(Colour, colour),
        _FACTORS[limit] if limit else convention.factor,
        named_by,
        iou or _share(file, "iou") or _IOU,
        _CONFIDENCE if (least := _share(file, "confidence") if confidence is None else confidence) is None else least,
    )


def _share(file: OnnxFile, key: str) -> float | None:
    found = _literal(file, key, "a number")
    if found is not None and not (isinstance(found, int | float) and 0 < found <= 1):
        raise ModelError(f"{file.path}: metadata {key} is {found!r}, not above 0 and at most 1")
    return found


def _default_names(classes: int | None) -> tuple[tuple[str, ...], Literal["COCO", "number"]]:
    """COCO's if there are as many classes or the outputs don't tell how many, else numbers."""
    if classes in (None, len(NAMES)):
        return NAMES, "COCO"
    return tuple(f"class {number}" for number in range(classes or 0)), "number"


def _choice(file: OnnxFile, key: str, allowed: tuple[str, ...]) -> str:
    value = file.metadata.get(key, "")
    if value and value not in allowed:
        raise ModelError(f"{file.path}: metadata {key} is {value!r}, not one of {', '.join(allowed)}")
    return value


def _literal(file: OnnxFile, key: str, wanted: str) -> object:
    """A metadata value in Python's notation, as Ultralytics writes it, or in JSON's; None if there is none."""
    if key not in file.metadata:
        return None
    try:
        value: object = ast.literal_eval(file.metadata[key])
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        raise ModelError(f"{file.path}: metadata {key} is not {wanted}") from None
    return value
