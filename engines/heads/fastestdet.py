"""FastestDet: (pictures, 5 + classes, rows, columns), one object per cell: objectness, box, classes.

Source: dog-qiuqiu/FastestDet, `utils/tool.py` (handle_preds). Centre: cell plus tanh; size: sigmoid, as a fraction
of the picture; score: objectness^0.6 * class^0.4. Pictures are stretched to the input's size.
"""

from typing import Self

import numpy as np

from engines.detections import Detections
from engines.heads.head import Convention, Outputs, Sample, Thresholds, confident, corners, only


class FastestDetHead:
    """One cell, one object. size: width and height of the network's input."""

    name = "fastestdet"
    convention = Convention("BGR", 1 / 255, "stretch")
    overlapping = True

    def __init__(self, classes: int, size: tuple[int, int]) -> None:
        self.classes = classes
        self.size = size

    @staticmethod
    def recognise(sample: Sample) -> str | None:
        """See Head."""
        if len(sample.outputs) != 1 or sample.outputs[0].ndim != 4:
            return None
        _, channels, rows, columns = sample.outputs[0].shape
        square = sample.height * columns == sample.width * rows and sample.height % max(rows, 1) == 0
        if not square or not sample.fits_names(channels - 5):
            return None
        return f"a map of {columns}x{rows} cells with objectness, box and {channels - 5} classes"

    @classmethod
    def bind(cls, sample: Sample) -> Self:
        """See Head."""
        channels = only(sample, 4)[1]
        if channels < 6:
            raise ValueError(f"it wants at least 6 channels, not {channels}")
        return cls(channels - 5, (sample.width, sample.height))

    def decode(self, outputs: Outputs, picture: int, thresholds: Thresholds) -> Detections:
        """See Head."""
        channels, rows, columns = outputs[0][picture].shape
        answer = outputs[0][picture].reshape(channels, rows * columns)
        # No class is above 1, so the score is at most objectness^0.6.
        cells = np.flatnonzero(answer[0] >= thresholds.lowest ** (1 / 0.6))
        chosen = answer[:, cells].astype(np.float32, copy=False)
        classes = chosen[5:].argmax(axis=0)
        scores = chosen[0] ** np.float32(0.6) * chosen[5 + classes, np.arange(cells.size)] ** np.float32(0.4)
        x = (cells % columns + np.tanh(chosen[1])) / columns
        y = (cells // columns + np.tanh(chosen[2])) / rows
        width, height = 1 / (1 + np.exp(-chosen[3:5]))
        boxes = np.stack([x, y, width, height], axis=1) * np.array(self.size * 2, np.float32)
        return confident(corners(boxes), scores, classes, thresholds)
