"""What the letterbox kernels are told: where pictures lie in device memory, and where they go in the input.

The layouts are those of kernels/picture.h and kernels/letterbox.cu; a test holds both to each other.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.engine import InputSpec
from engines.letterbox import Letterbox, Placement
from engines.model import ModelInfo

PICTURE = np.dtype(
    [
        ("pixels", np.uint64),
        ("chroma", np.uint64),
        ("pitch", np.int32),
        ("chroma_pitch", np.int32),
        ("width", np.int32),
        ("height", np.int32),
        ("left", np.int32),
        ("top", np.int32),
        ("inner_width", np.int32),
        ("inner_height", np.int32),
        ("method", np.int32),
        ("colours", np.int32),
        ("scale_x", np.float32),
        ("scale_y", np.float32),
        ("whole_width", np.int32),
        ("whole_height", np.int32),
        ("level", np.int32),
        ("unused", np.int32),
    ]
)
INPUT = np.dtype(
    [
        ("tensor", np.uint64),
        ("half", np.int32),
        ("width", np.int32),
        ("height", np.int32),
        ("swapped", np.int32),
        ("factor", np.float32),
        ("border", np.float32),
    ]
)
TILE = (32, 8)  # input pixels per block of a letterbox kernel


class Method(IntEnum):
    """How OpenCV, and so the kernels, scale a picture; see engines.letterbox."""

    LINEAR = 0
    AREA = 1
    AREA_ENLARGED = 2


class Colours(IntEnum):
    """What YUV numbers of a picture mean."""

    BT601_LIMITED = 0
    BT601_FULL = 1
    BT709_LIMITED = 2
    BT709_FULL = 3


@dataclass(frozen=True, slots=True)
class Pixels:
    """A decoded picture in device memory: interleaved RGB, or NV12 if there is `chroma`.

    address, chroma: device addresses. pitch, chroma_pitch: bytes from row to row.
    width, height: in pixels; NV12's are even.
    """

    address: int
    pitch: int
    width: int
    height: int
    chroma: int = 0
    chroma_pitch: int = 0
    colours: Colours = Colours.BT601_FULL


def write_picture(
    rows: NDArray[Any], number: int, pixels: Pixels, size: tuple[int, int], letterbox: Letterbox, level: int = 0
) -> Placement:
    """Fills a row of a PICTURE table.

    size: (width, height) of the whole picture, in whose pixels its boxes will be.
    level: which thresholds its boxes must reach; see postprocess.threshold_table.
    """
    left, top, width, height = letterbox.place(*size)
    placement = Placement(width / size[0], height / size[1], left, top, *size)
    # In one assignment: one per field takes ten times as long, and a worker does this for each frame.
    rows[number] = (
        *(pixels.address, pixels.chroma, pixels.pitch, pixels.chroma_pitch, pixels.width, pixels.height),
        *(left, top, width, height, method(pixels.width, pixels.height, width, height), pixels.colours),
        *(placement.scale_x, placement.scale_y, *size, level, 0),
    )
    return placement


def write_border(rows: NDArray[Any]) -> None:
    """Fills rows of a PICTURE table for slots without a picture, of which the kernel makes all border."""
    rows[:] = np.zeros((), PICTURE)
    rows["scale_x"] = rows["scale_y"] = 1


def method(width: int, height: int, inner_width: int, inner_height: int) -> Method:
    """As engines.letterbox and OpenCV choose it for a picture of width x height."""
    if width < 2 * inner_width and height < 2 * inner_height:
        return Method.LINEAR
    shrinks = width >= inner_width and height >= inner_height
    return Method.AREA if shrinks else Method.AREA_ENLARGED


def input_argument(address: int, spec: InputSpec, model: ModelInfo) -> NDArray[Any]:
    """The kernels' INPUT (one, no axes) for an input tensor at a device address."""
    value = np.zeros((), INPUT)
    value["tensor"] = address
    value["half"] = spec.dtype == np.float16
    value["width"], value["height"] = spec.width, spec.height
    value["swapped"] = model.colour == "BGR"
    # Rounded to the tensor's type first, as numpy does on the CPU.
    value["factor"] = spec.dtype.type(model.factor)
    value["border"] = spec.dtype.type(model.letterbox.pad)
    return value


def tiles(spec: InputSpec, pictures: int) -> tuple[int, int, int]:
    """Grid of a letterbox kernel."""
    return -(-spec.width // TILE[0]), -(-spec.height // TILE[1]), pictures
