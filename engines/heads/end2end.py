"""YOLOv10 and 26, and files exported with NMS inside: (pictures, boxes, 6): corners in pixels, score, class.

Source: Ultralytics, `ultralytics/nn/modules/head.py` (v10Detect, export with nms=True). Unused rows are zero.
"""

from typing import Self

import numpy as np

from engines.detections import Detections
from engines.heads.head import Convention, Outputs, Sample, Thresholds, confident, only

_NO_CLASS = 1 << 24  # from here on float32 can't count, so the number is no class but damage


class End2EndHead:
    """One row per object; the network has removed what overlaps."""

    name = "end2end"
    convention = Convention()
    classes: int | None = None
    overlapping = False

    @staticmethod
    def recognise(sample: Sample) -> str | None:
        """See Head."""
        if len(sample.outputs) != 1 or sample.outputs[0].ndim != 3 or sample.outputs[0].shape[2] != 6:
            return None
        rows = sample.outputs[0].shape[1]
        # A single class behind an objectness, or two classes of RT-DETR, make 6 columns too.
        if sample.boxes_per_cell(rows) or is_fraction(sample.outputs[0][..., :4]):
            return None
        return f"{rows} rows are finished objects: corners, score, class"

    @classmethod
    def bind(cls, sample: Sample) -> Self:
        """See Head."""
        if only(sample, 3)[2] != 6:
            raise ValueError("it wants 6 values per object")
        return cls()

    def decode(self, outputs: Outputs, picture: int, thresholds: Thresholds) -> Detections:
        """See Head.

        Raises:
            ValueError: a class number is larger than the model's last.
        """
        rows = outputs[0][picture]
        # Scores above zero even where every box is wanted: zero marks the unused rows.
        chosen = rows[(rows[:, 4] >= thresholds.lowest) & (rows[:, 4] > 0)]
        chosen = chosen[(chosen[:, 5] >= 0) & (chosen[:, 5] < _NO_CLASS)]
        classes = chosen[:, 5].astype(np.int64)
        if classes.size and classes.max() >= len(thresholds.per_class):
            raise ValueError(f"it found class {classes.max()}, and only {len(thresholds.per_class)} have names")
        return confident(chosen[:, :4].astype(np.float32, copy=False), chosen[:, 4], classes, thresholds)


def is_fraction(boxes: np.ndarray) -> bool:
    """Whether coordinates are fractions of the picture, not pixels; all zeros are neither."""
    largest = np.nanmax(np.abs(boxes), initial=0)
    return bool(0 < largest <= 2)
