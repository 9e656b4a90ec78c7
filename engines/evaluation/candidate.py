"""A model that is evaluated: what it finds, and what that costs."""

import math
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engines.detections import Detections
from engines.detector import Detector, open_detector
from engines.evaluation.classes import SharedClasses, share

if TYPE_CHECKING:
    from engines.letterbox import Placement
    from streamer.settings import DetectSettings

_LEAST = 0.001  # average precision looks at the whole curve, so nearly all boxes are wanted
_MOST = 300


class Candidate:
    """A model with what it has found so far.

    detector: as the service would run it, which is what is timed. finder: the same, but for giving out nearly all
    boxes. shared: its classes and the data set's. found: per picture, classes numbered as in the data set.
    """

    def __init__(self, detector: Detector, finder: Detector, shared: SharedClasses) -> None:
        self.detector = detector
        self.shared = shared
        self.found: list[Detections] = []
        self._finder = finder
        self._batch = detector.new_batch(detector.batch)
        self._placements: list[Placement | None] = [None] * detector.batch
        self._cpu_ms: list[float] = []

    def look(self, pixels: NDArray[np.uint8], size: tuple[int, int]) -> None:
        """Finds what is in a picture of `size` (width, height), HxWx3 in its colour order, maybe scaled down."""
        batch = self._finder.new_batch(1)
        placement = self._finder.prepare(pixels, size, batch[0])
        [found] = self._finder.detect(batch, [placement])
        self.found.append(self.shared.renumbered(found))

    def take_time(self, pixels: NDArray[np.uint8], size: tuple[int, int]) -> None:
        """Notes the CPU time, of all threads of the process, from the pixels to the boxes of a full batch."""
        start = time.process_time()
        slots = zip(self._batch, self._placements, strict=True)
        placements = [self.detector.prepare(pixels, size, slot, previous) for slot, previous in slots]
        self.detector.detect(self._batch, placements)
        self._cpu_ms.append((time.process_time() - start) * 1000 / len(placements))
        self._placements[:] = placements

    @property
    def cpu_ms_per_picture(self) -> float:
        """Median of the times noted, in milliseconds: letterbox, network and boxes; nan if none was."""
        return statistics.median(self._cpu_ms) if self._cpu_ms else math.nan

    def close(self) -> None:
        """Lets the engines go."""
        self.detector.close()
        self._finder.close()


def open_candidate(settings: "DetectSettings", labelled: tuple[str, ...], threads: int = 1) -> Candidate:
    """The model of the settings, ready to be evaluated.

    labelled: names of the data set's classes. threads: cores per inference.

    Raises:
        ModelError: the file is missing, damaged, or of an unknown layout.
        UsageError: there is no such engine, or the model has none of the classes.
    """
    every_class: dict[str, Any] = {"classes": (), "class_confidence": {}}
    detector = open_detector(settings.model_copy(update=every_class), threads)
    shared = share(Path(settings.model).name, detector.model.classes, labelled)
    every_box = every_class | {"confidence": _LEAST, "max_objects": _MOST, "classes": shared.names}
    return Candidate(detector, open_detector(settings.model_copy(update=every_box), threads), shared)
