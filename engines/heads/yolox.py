"""YOLOX: (pictures, cells, 5 + classes), raw: offsets within grid cells, logarithms of sizes, objectness, classes.

Source: Megvii YOLOX, `yolox/utils/demo_utils.py` (demo_postprocess). Files that were exported with
--decode_in_inference are known by centres in pixels.
"""

from typing import Self

import numpy as np
from numpy.typing import NDArray

from engines.detections import Detections
from engines.heads.head import Convention, Outputs, Sample, Thresholds, corners
from engines.heads.yolov5 import classes_behind_objectness, in_pixels, objects, rows_of_cells, scored

_STRIDES = ((8, 16, 32), (8, 16, 32, 64))


class YoloXHead:
    """One row per grid cell. grid: float32 (cells, 3): x, y of the cell and its stride; None if already applied."""

    name = "yolox"
    convention = Convention("BGR", 1.0, "top-left")
    overlapping = True

    def __init__(self, classes: int, grid: NDArray[np.float32] | None) -> None:
        self.classes = classes
        self.grid = grid

    @staticmethod
    def recognise(sample: Sample) -> str | None:
        """See Head."""
        if rows_of_cells(sample) != 1 or in_pixels(sample):
            return None
        _, rows, columns = sample.outputs[0].shape
        return f"{rows} rows are one per grid cell: offsets in cells, objectness, {columns - 5} classes"

    @classmethod
    def bind(cls, sample: Sample) -> Self:
        """See Head."""
        classes = classes_behind_objectness(sample)
        if in_pixels(sample):
            return cls(classes, None)
        rows = sample.outputs[0].shape[1]
        for strides in _STRIDES:
            grid = _grid(sample.width, sample.height, strides)
            if len(grid) == rows:
                return cls(classes, grid)
        raise ValueError(f"it wants one row per cell of a grid on {sample.width}x{sample.height}, not {rows}")

    def decode(self, outputs: Outputs, picture: int, thresholds: Thresholds) -> Detections:
        """See Head."""
        chosen, numbers = objects(outputs[0][picture], thresholds)
        boxes = chosen[:, :4].astype(np.float32, copy=False)
        if self.grid is not None:
            cells = self.grid[numbers]
            centres, sizes = boxes[:, :2] + cells[:, :2], np.exp(boxes[:, 2:])
            boxes = np.concatenate([centres, sizes], axis=1) * cells[:, 2:]
        return scored(chosen, corners(boxes), thresholds)


def _grid(width: int, height: int, strides: tuple[int, ...]) -> NDArray[np.float32]:
    levels = []
    for stride in strides:
        y, x = np.mgrid[: height // stride, : width // stride]
        levels.append(np.stack([x.ravel(), y.ravel(), np.full(x.size, stride)], axis=1))
    return np.concatenate(levels).astype(np.float32)
