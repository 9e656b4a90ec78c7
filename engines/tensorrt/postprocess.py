"""What the kernels behind a network are told, and what they give: boxes in picture pixels, from any layout they know.

The layouts in memory are those of kernels/head.h and kernels/candidate.h; a test holds both to each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.detections import Detections, Floats
from engines.heads.end2end import End2EndHead
from engines.heads.head import Head, Thresholds
from engines.heads.yolov5 import YoloV5Head
from engines.heads.yolov8 import YoloV8Head
from engines.heads.yolox import YoloXHead
from streamer.errors import ModelError

CAPACITY = 2048  # candidates per picture that compete in NMS, the most confident ones; as kernels/candidate.h
SCORING_THREADS = 256

ANSWER = np.dtype(
    [
        ("tensor", np.uint64),
        ("grid", np.uint64),
        ("half", np.int32),
        ("layout", np.int32),
        ("boxes", np.int32),
        ("columns", np.int32),
        ("classes", np.int32),
        ("unused", np.int32),
    ]
)
CANDIDATE = np.dtype([("box", np.float32, 4), ("score", np.float32), ("kind", np.int32)])
TALLY = np.dtype([("found", np.int32), ("candidates", np.int32), ("passed", np.int32), ("strange", np.int32)])
OBJECT = CANDIDATE


class Layout(IntEnum):
    """Of a network's answer; see the heads of the same names."""

    YOLOV8 = 0
    YOLOV5 = 1
    YOLOX = 2
    END2END = 3


class Rivals(IntEnum):
    """Which boxes compete in NMS."""

    NOBODY = 0
    SAME_CLASS = 1
    EVERYBODY = 2


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """How the kernels read a network's answer.

    boxes: per picture. columns: numbers per box. grid: float32 (boxes, 3) of YOLOX, else None.
    """

    layout: Layout
    boxes: int
    columns: int
    grid: Floats | None
    overlapping: bool

    def argument(self, address: int, dtype: np.dtype[Any], grid_address: int, classes: int) -> NDArray[Any]:
        """The kernels' ANSWER (one, no axes) for an output tensor at a device address."""
        value = np.zeros((), ANSWER)
        value["tensor"], value["grid"] = address, grid_address
        value["half"] = dtype == np.float16
        value["layout"], value["boxes"], value["columns"] = self.layout, self.boxes, self.columns
        value["classes"] = classes
        return value

    def rivals(self, agnostic: bool) -> Rivals:
        """Who competes; networks that remove what overlaps themselves are asked again only across classes."""
        if agnostic:
            return Rivals.EVERYBODY
        return Rivals.SAME_CLASS if self.overlapping else Rivals.NOBODY


def reading(head: Head, shape: tuple[int, ...]) -> Reading | None:
    """How the kernels read what `head` reads, from an output of (pictures, ...); None if they don't know it."""
    match head:
        case YoloV8Head():
            return Reading(Layout.YOLOV8, shape[2], shape[1], None, True)
        case YoloV5Head():
            return Reading(Layout.YOLOV5, shape[1], shape[2], None, True)
        case YoloXHead():
            return Reading(Layout.YOLOX, shape[1], shape[2], head.grid, True)
        case End2EndHead():
            return Reading(Layout.END2END, shape[1], shape[2], None, False)
        case _:
            return None


def threshold_table(levels: Sequence[Thresholds]) -> Floats:
    """(levels, 1 + classes): the lowest threshold of a level, then those of the classes."""
    return np.array([[level.lowest, *level.per_class] for level in levels], np.float32)


def detections(tally: NDArray[Any], objects: NDArray[Any], classes: int, path: Path) -> Detections:
    """One picture's, copied out of the kernels' buffers. tally: one TALLY. objects: OBJECT (most objects,).

    Raises:
        ModelError: the network found a class that has no name.
    """
    if tally["strange"]:
        strange = tally["strange"] - 1
        raise ModelError(f"{path}: it found class {strange}, and only {classes} have names; write them into the file")
    found = objects[: tally["found"]]
    return Detections(found["box"].copy(), found["score"].copy(), found["kind"].astype(np.int64))
