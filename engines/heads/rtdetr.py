"""RT-DETR: centre, width and height as fractions of the input, and a score per class, for some hundred queries.

As Ultralytics exports it, (pictures, queries, 4 + classes) with probabilities, or as Hugging Face does, logits
(pictures, queries, classes) and boxes (pictures, queries, 4). Sources: `ultralytics/nn/modules/head.py`
(RTDETRDecoder), `transformers` RTDetrForObjectDetection. Pictures are stretched to the input's size.
"""

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from engines.detections import Detections
from engines.heads.end2end import is_fraction
from engines.heads.head import Convention, Outputs, Sample, Thresholds, confident, corners


class RtDetrHead:
    """One row per query; no two are for the same object.

    boxes, scores: positions of both in the outputs; the same if one output holds both.
    logits: whether scores are logits. size: width and height of the network's input.
    """

    name = "rtdetr"
    convention = Convention(padding="stretch")
    overlapping = False

    def __init__(self, classes: int, boxes: int, scores: int, size: tuple[int, int], logits: bool) -> None:
        self.classes = classes
        self.boxes, self.scores, self.logits = boxes, scores, logits
        self.size = size

    @staticmethod
    def recognise(sample: Sample) -> str | None:
        """See Head."""
        try:
            head = RtDetrHead.bind(sample)
        except ValueError:
            return None
        boxes = sample.outputs[head.boxes]
        queries = boxes.shape[1]
        if sample.boxes_per_cell(queries) or not is_fraction(boxes[..., :4]) or not sample.fits_names(head.classes):
            return None
        return f"{queries} rows are queries: boxes as fractions of the picture, {head.classes} classes"

    @classmethod
    def bind(cls, sample: Sample) -> Self:
        """See Head."""
        shapes, size = sample.shapes, (sample.width, sample.height)
        if len(shapes) == 1 and len(shapes[0]) == 3 and shapes[0][2] >= 5:
            logits = _has_logits(sample.outputs[0][..., 4:])
            return cls(shapes[0][2] - 4, 0, 0, size, logits)
        if len(shapes) == 2 and all(len(shape) == 3 for shape in shapes) and shapes[0][1] == shapes[1][1]:
            fours = [number for number in (0, 1) if shapes[number][2] == 4]
            if fours:
                # With four classes both look alike; boxes are the ones between 0 and 1.
                boxes = next((n for n in fours if is_fraction(sample.outputs[n])), fours[-1])
                scores = 1 - boxes
                return cls(shapes[scores][2], boxes, scores, size, _has_logits(sample.outputs[scores]))
        raise ValueError("it wants one output (pictures, queries, 4 + classes), or two: scores, and boxes of 4 values")

    def decode(self, outputs: Outputs, picture: int, thresholds: Thresholds) -> Detections:
        """See Head."""
        table = outputs[self.scores][picture]
        scores = table[:, 4:] if self.boxes == self.scores else table
        best = np.maximum.reduce(scores, axis=1)
        best = 1 / (1 + np.exp(-best)) if self.logits else best
        numbers = np.flatnonzero(best >= thresholds.lowest)
        classes = scores[numbers].argmax(axis=1)
        boxes = outputs[self.boxes][picture][numbers, :4]
        return confident(corners(boxes) * np.array(self.size * 2, np.float32), best[numbers], classes, thresholds)


def _has_logits(scores: NDArray[Any]) -> bool:
    return bool(np.nanmin(scores, initial=0) < 0 or np.nanmax(scores, initial=0) > 1)
