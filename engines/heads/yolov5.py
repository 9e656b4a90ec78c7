"""YOLOv5 and v7: (pictures, boxes, 5 + classes), decoded; centre, width, height in network pixels, objectness, classes.

Source: Ultralytics YOLOv5, `models/yolo.py` (Detect, exported). A box's score is objectness times class.
"""

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from engines.detections import Detections
from engines.heads.head import Convention, Outputs, Sample, Thresholds, confident, corners, only


class YoloV5Head:
    """One row per box, with an objectness."""

    name = "yolov5"
    convention = Convention()
    overlapping = True

    def __init__(self, classes: int) -> None:
        self.classes = classes

    @staticmethod
    def recognise(sample: Sample) -> str | None:
        """See Head."""
        per_cell = rows_of_cells(sample)
        if not per_cell or not in_pixels(sample):
            return None
        _, rows, columns = sample.outputs[0].shape
        return f"{rows} rows are {per_cell} per grid cell: 4 coordinates in pixels, objectness, {columns - 5} classes"

    @classmethod
    def bind(cls, sample: Sample) -> Self:
        """See Head."""
        return cls(classes_behind_objectness(sample))

    def decode(self, outputs: Outputs, picture: int, thresholds: Thresholds) -> Detections:
        """See Head."""
        chosen, _ = objects(outputs[0][picture], thresholds)
        return scored(chosen, corners(chosen[:, :4]), thresholds)


def rows_of_cells(sample: Sample) -> int:
    """How many rows per grid cell the output has, if it is (1, boxes, 5 + classes); else 0."""
    if len(sample.outputs) != 1 or sample.outputs[0].ndim != 3:
        return 0
    _, rows, columns = sample.outputs[0].shape
    return sample.boxes_per_cell(rows) if sample.fits_names(columns - 5) else 0


def in_pixels(sample: Sample) -> bool:
    """Whether centres lie all over the picture, as decoded ones do; raw ones are a few cells at most."""
    centres = sample.outputs[0][0, :, :2]
    return bool(np.nanmax(np.abs(centres), initial=0) > min(sample.width, sample.height) / 2)


def classes_behind_objectness(sample: Sample) -> int:
    """Number of classes of an output (1, boxes, 5 + classes).

    Raises:
        ValueError: it is of another shape.
    """
    columns = only(sample, 3)[2]
    if columns < 6:
        raise ValueError(f"it wants at least 6 values per box, not {columns}")
    return columns - 5


def objects(answer: NDArray[Any], thresholds: Thresholds) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Rows whose objectness alone reaches the lowest threshold (no score is above it), and their numbers."""
    numbers = np.flatnonzero(answer[:, 4] >= thresholds.lowest)
    return answer[numbers], numbers


def scored(rows: NDArray[Any], boxes: NDArray[np.float32], thresholds: Thresholds) -> Detections:
    """Those of the boxes that their rows' best class, times objectness, makes confident enough."""
    classes = rows[:, 5:].argmax(axis=1)
    scores = rows[:, 4] * rows[np.arange(len(rows)), 5 + classes]
    return confident(boxes, scores, classes, thresholds)
