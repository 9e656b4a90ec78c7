"""Where a detector goes wrong most: pictures with objects that it misses, and things that it sees and aren't there."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.detections import Detections
from engines.marks import mark
from engines.overlaps import overlaps
from engines.training.dataset import Dataset, Picture

CONFIDENCE = 0.25  # from which a box is shown by the service, unless told otherwise
OVERLAP = 0.5  # IoU from which an object counts as found
_FOUND, _MISSED, _INVENTED = (80, 200, 80), (230, 60, 60), (250, 160, 30)  # RGB
_SMALLEST_SIDE = 480  # pixels, of the pictures drawn: boxes of small ones could not be read


@dataclass(frozen=True, slots=True, eq=False)
class Misses:
    """What went wrong in a picture.

    missed: bool, per labelled object. invented: bool, per box found: nothing of its class is there.
    """

    picture: Picture
    found: Detections
    missed: NDArray[np.bool_]
    invented: NDArray[np.bool_]

    @property
    def badness(self) -> float:
        """Objects missed, and the confidence of what is invented."""
        return float(self.missed.sum() + self.found.scores[self.invented].sum())


def worst(predictions: Sequence[Detections], dataset: Dataset, count: int) -> list[Misses]:
    """The `count` pictures with the most misses, the worst first; those without any are left out.

    predictions: per picture, in its pixels and by the data set's classes.
    """
    pairs = zip(dataset.pictures, predictions, strict=True)
    judged = [judge(picture, found, dataset.known(picture.source)) for picture, found in pairs]
    ranked = sorted(judged, key=lambda each: each.badness, reverse=True)
    return [each for each in ranked[:count] if each.badness > 0]


def judge(picture: Picture, found: Detections, known: frozenset[int]) -> Misses:
    """Which objects of the known classes are missed, and what is found where nothing is.

    Boxes are matched from the most confident down, each with the free object of its class that it overlaps most. What
    is found in a crowd is not invented.
    """
    shown = found[(found.scores >= CONFIDENCE) & np.isin(found.classes, list(known))]
    shown = shown[np.argsort(-shown.scores, kind="stable")]
    shared = overlaps(shown.boxes, picture.boxes) * (shown.classes[:, None] == picture.classes)
    free = ~picture.crowd
    invented = np.ones(len(shown), np.bool_)
    for number, row in enumerate(shared):
        best = int(np.argmax(row * free)) if free.any() else -1
        if best >= 0 and row[best] * free[best] >= OVERLAP:
            free[best] = False
            invented[number] = False
        elif (row[picture.crowd] > 0).any():
            invented[number] = False
    return Misses(picture, shown, free & np.isin(picture.classes, list(known)), invented)


def draw(misses: Misses, names: Sequence[str]) -> NDArray[np.uint8]:
    """The picture, RGB, enlarged if it is small: found green, missed red, invented orange.

    Raises:
        PictureError: its file can't be read.
    """
    pixels = misses.picture.file.pixels()
    factor = max(1.0, _SMALLEST_SIDE / max(pixels.shape[:2]))
    canvas = cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    objects = zip(misses.picture.boxes, misses.picture.classes, misses.missed, strict=True)
    for box, kind, missed in objects:
        if missed:
            mark(canvas, box * factor, names[kind], _MISSED)
    found = misses.found
    for box, kind, score, invented in zip(found.boxes, found.classes, found.scores, misses.invented, strict=True):
        mark(canvas, box * factor, f"{names[kind]} {score:.2f}", _INVENTED if invented else _FOUND)
    return np.asarray(canvas, np.uint8)
