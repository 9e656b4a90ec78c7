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
from engines.heads.fastestdet import FastestDetHead
from engines.heads.head import Head, Thresholds
from engines.heads.rtdetr import RtDetrHead
from engines.heads.yolov5 import YoloV5Head
from engines.heads.yolov8 import YoloV8Head
from engines.heads.yolox import YoloXHead
from streamer.errors import ModelError

CAPACITY = 2048  # candidates per picture that compete in NMS, the most confident ones; as kernels/candidate.h
SCORING_THREADS = 256

ANSWER = np.dtype(
    [
        ("tensor", np.uint64),
        ("scores", np.uint64),
        ("grid", np.uint64),
        ("half", np.int32),
        ("layout", np.int32),
        ("boxes", np.int32),
        ("columns", np.int32),
        ("classes", np.int32),
        ("across", np.int32),
        ("width", np.int32),
        ("height", np.int32),
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
    FASTESTDET = 4
    RTDETR = 5
    RTDETR_LOGITS = 6


class Rivals(IntEnum):
    """Which boxes compete in NMS."""

    NOBODY = 0
    SAME_CLASS = 1
    EVERYBODY = 2


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """How the kernels read a network's answer.

    boxes: per picture. columns: numbers per box. grid: float32 (boxes, 3) of YOLOX, else None.
    size: width and height of the network's input, where boxes are fractions of it. across: cells in a row of a map.
    tensors: which outputs it reads; a second one has the scores.
    """

    layout: Layout
    boxes: int
    columns: int
    grid: Floats | None
    overlapping: bool
    size: tuple[int, int] = (0, 0)
    across: int = 0
    tensors: tuple[int, ...] = (0,)

    def argument(self, addresses: Sequence[int], dtype: np.dtype[Any], grid_address: int, classes: int) -> NDArray[Any]:
        """The kernels' ANSWER (one, no axes) for a network's outputs at device addresses, all of one type."""
        value = np.zeros((), ANSWER)
        value["tensor"], value["scores"] = (*(addresses[number] for number in self.tensors), 0)[:2]
        value["grid"] = grid_address
        value["half"] = dtype == np.float16
        value["layout"], value["boxes"], value["columns"] = self.layout, self.boxes, self.columns
        value["classes"], value["across"] = classes, self.across
        value["width"], value["height"] = self.size
        return value

    def rivals(self, agnostic: bool) -> Rivals:
        """Who competes; networks that remove what overlaps themselves are asked again only across classes."""
        if agnostic:
            return Rivals.EVERYBODY
        return Rivals.SAME_CLASS if self.overlapping else Rivals.NOBODY


def reading(head: Head, shape: tuple[int, ...]) -> Reading | None:
    """How the kernels read what `head` reads, whose first output is (pictures, ...); None if they don't know it."""
    match head:
        case YoloV8Head():
            return Reading(Layout.YOLOV8, shape[2], shape[1], None, True)
        case YoloV5Head():
            return Reading(Layout.YOLOV5, shape[1], shape[2], None, True)
        case YoloXHead():
            return Reading(Layout.YOLOX, shape[1], shape[2], head.grid, True)
        case End2EndHead():
            return Reading(Layout.END2END, shape[1], shape[2], None, False)
        case FastestDetHead():
            cells, across = shape[2] * shape[3], shape[3]
            return Reading(Layout.FASTESTDET, cells, shape[1], None, True, head.size, across)
        case RtDetrHead():
            layout = Layout.RTDETR_LOGITS if head.logits else Layout.RTDETR
            tensors = (head.boxes,) if head.boxes == head.scores else (head.boxes, head.scores)
            return Reading(layout, shape[1], 4 + head.classes, None, False, head.size, tensors=tensors)
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
