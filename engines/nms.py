"""Non-maximum suppression: of boxes that overlap more than allowed only the most confident one stays."""

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.detections import Detections


def suppress(found: Detections, iou: float, agnostic: bool = False) -> NDArray[np.int64]:
    """Positions of the boxes that stay, the most confident first.

    Greedy, as in Felzenszwalb et al. 2010: each box, from the most confident down, removes those that overlap it
    by more than `iou`. Only boxes of the same class compete, unless `agnostic`.

    found.boxes must be finite. Boxes with a score of 0 may be left out, and those without an area, which remove none.
    """
    if len(found) < 2:
        return np.arange(len(found))
    left_top_size = found.boxes.copy()
    left_top_size[:, 2:] -= left_top_size[:, :2]
    if np.minimum.reduce(left_top_size[:, 2:], axis=None) <= 0:
        # To OpenCV two boxes overlap wherever they are if their areas are 0 or less together, and what is inside out
        # has an area below 0.
        real = np.flatnonzero((left_top_size[:, 2:] > 0).all(axis=1))
        return real[suppress(found[real], iou, agnostic)]
    if agnostic:
        kept = cv2.dnn.NMSBoxes(left_top_size, found.scores, 0.0, iou)  # type: ignore[arg-type]
    else:
        # OpenCV keeps classes apart by moving each by more than the largest coordinate: none may be below zero.
        left_top_size[:, :2] -= left_top_size[:, :2].min(axis=0)
        classes = found.classes.astype(np.int32)
        kept = cv2.dnn.NMSBoxesBatched(left_top_size, found.scores, classes, 0.0, iou)  # type: ignore[arg-type]
    return np.asarray(kept, np.int64).reshape(-1)
