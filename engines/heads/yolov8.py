"""YOLOv8, v9, 11 and 12: (pictures, 4 + classes, boxes), no objectness; centre, width and height in network pixels.

Source: Ultralytics, `ultralytics/nn/modules/head.py` (Detect, exported).
"""

from typing import Self

import numpy as np

from engines.detections import Detections
from engines.heads.head import Convention, Outputs, Sample, Thresholds, confident, corners, only


class YoloV8Head:
    """One column per box, one row per coordinate and class."""

    name = "yolov8"
    convention = Convention()
    overlapping = True

    def __init__(self, classes: int) -> None:
        self.classes = classes

    @staticmethod
    def recognise(sample: Sample) -> str | None:
        """See Head."""
        if len(sample.outputs) != 1 or sample.outputs[0].ndim != 3:
            return None
        _, rows, columns = sample.outputs[0].shape
        if not 5 <= rows < columns or not sample.fits_names(rows - 4):
            return None
        if not sample.names and sample.boxes_per_cell(columns) != 1:
            return None
        return f"{columns} columns are one box each: 4 coordinates and {rows - 4} classes, no objectness"

    @classmethod
    def bind(cls, sample: Sample) -> Self:
        """See Head."""
        rows = only(sample, 3)[1]
        if rows < 5:
            raise ValueError(f"it wants at least 5 rows per box, not {rows}")
        return cls(rows - 4)

    def decode(self, outputs: Outputs, picture: int, thresholds: Thresholds) -> Detections:
        """See Head."""
        answer = outputs[0][picture]
        # The maximum goes along rows that lie one after the other in memory; which class it was is looked up for
        # the few that pass only, as argmax over all takes eight times as long.
        scores = np.maximum.reduce(answer[4:], axis=0)
        best = (scores >= thresholds.lowest).nonzero()[0]
        if not best.size:
            return Detections.none()
        chosen = answer[:, best]
        return confident(corners(chosen[:4].T), scores[best], chosen[4:].argmax(axis=0), thresholds)
