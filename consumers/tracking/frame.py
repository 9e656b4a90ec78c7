"""One frame's boxes while they are being given to tracks."""

import numpy as np
from numpy.typing import NDArray

from consumers.tracking.assign import assign
from consumers.tracking.motion import Array
from engines.detections import Detections

# What a record keeps of a box and of a score, see records.detections.
_PER_PIXEL, _PER_SCORE = 100, 10_000


class Frame:
    """Boxes with a score from `low_score` on.

    index: (M,) positions among the detections. boxes: (M, 4) middle x, y, width, height. scores, classes: (M,).
    row: (M,) row of the table of tracks that a box belongs to, -1 while it has none.
    """

    def __init__(self, found: Detections, low_score: float) -> None:
        scores = np.rint(found.scores.astype(np.float64) * _PER_SCORE) / _PER_SCORE
        self.index = (scores >= low_score).nonzero()[0]
        corners = np.rint(found.boxes[self.index].astype(np.float64) * _PER_PIXEL) / _PER_PIXEL
        low, high = corners[:, :2], corners[:, 2:]
        self.boxes = np.concatenate((0.5 * (low + high), np.maximum(high - low, 1 / _PER_PIXEL)), axis=1)
        self.scores, self.classes = scores[self.index], found.classes[self.index]
        self.row = np.full(len(self.index), -1)

    def pair(self, worth: Array, rows: NDArray[np.bool_], boxes: NDArray[np.bool_], least: float) -> None:
        """Gives boxes among `boxes` that have none yet a track among `rows` that has none yet.

        worth: (N, M) overlap of tracks and boxes, 0 where they can't belong together. Its sum over the pairs, as
            far as above `least`, is the largest possible; pairs below it are not made.
        """
        boxes = boxes & (self.row < 0)
        if rows.any() and boxes.any():
            rows = rows.copy()
            rows[self.row[self.row >= 0]] = False
            chosen, given = assign(np.where(rows[:, None] & boxes, worth - least, 0.0))
            self.row[given] = chosen
