"""The kernels of engines/tensorrt on this machine's CPU: the same source, compiled as C++."""

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.detections import Detections
from engines.engine import InputSpec
from engines.heads.head import Thresholds
from engines.letterbox import Letterbox, Placement
from engines.model import ModelInfo
from engines.tensorrt import pictures as table
from engines.tensorrt import postprocess as post

HERE = Path(__file__).parent
KERNELS = HERE.parents[1] / "engines" / "tensorrt" / "kernels"
# As on the GPU, where they are compiled with --fmad=false: a product is rounded before it is added.
FLAGS = ["-std=c++17", "-O2", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror", "-pthread", "-x", "c++"]


def compiler() -> str | None:
    """A C++ compiler, if there is one."""
    return os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")


def compile_kernels(target: Path, *flags: str, source: Path = HERE / "on_cpu.cpp") -> Path:
    """The kernels as `target`."""
    command = [str(compiler()), *FLAGS, *flags, f"-I{KERNELS}", f"-I{HERE}", str(source), "-o", str(target)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return target


@dataclass
class Kernels:
    """Them, called with arrays. threads: per block, side by side; any number gives the same."""

    library: ctypes.CDLL
    threads: int = 1

    def run(self, name: str, grid: Sequence[int], *arguments: Any) -> None:
        """One launch. Arrays go by address, numbers by value."""
        sized = (ctypes.c_int * 3)(*grid)
        getattr(self.library, f"run_{name}")(sized, self.threads, *map(_argument, arguments))

    def size_of(self, name: str) -> int:
        """Of a structure, in bytes."""
        return int(getattr(self.library, f"size_of_{name}")())

    def letterbox(self, rows: NDArray[Any], spec: InputSpec, model: ModelInfo, kind: str = "rgb") -> NDArray[Any]:
        """The input tensor that a PICTURE table makes."""
        tensor = np.full(spec.shape(len(rows)), np.nan, spec.dtype)
        argument = table.input_argument(tensor.ctypes.data, spec, model)
        self.run(f"letterbox_{kind}", table.tiles(spec, len(rows)), rows, argument)
        return tensor

    def candidates(
        self,
        answer: NDArray[Any],
        how: post.Reading,
        levels: Sequence[Thresholds],
        rows: NDArray[Any],
        *more: NDArray[Any],
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Tallies (pictures,) and candidates (pictures, CAPACITY) of a network's answer to a PICTURE table.

        more: outputs behind the first.
        """
        count, thresholds = len(answer), post.threshold_table(levels)
        scores, kinds = np.full((count, how.boxes), np.nan, np.float32), np.full((count, how.boxes), -9, np.int32)
        tallies, found = np.zeros(count, post.TALLY), np.zeros((count, post.CAPACITY), post.CANDIDATE)
        grid = how.grid.ctypes.data if how.grid is not None else 0
        addresses = [each.ctypes.data for each in (answer, *more)]
        argument = how.argument(addresses, answer.dtype, grid, len(levels[0].per_class))
        blocks = -(-how.boxes // post.SCORING_THREADS), 1, count
        self.run("score_boxes", blocks, argument, rows, thresholds, scores, kinds, tallies)
        self.run("choose_candidates", (1, 1, count), argument, scores, kinds, tallies, found)
        return tallies, found

    def suppress(
        self, tallies: NDArray[Any], found: NDArray[Any], rivals: post.Rivals, iou: float, most: int, rows: NDArray[Any]
    ) -> Iterator[Detections]:
        """Per picture of a PICTURE table."""
        objects = np.zeros((len(rows), most), post.OBJECT)
        self.run("suppress", (1, 1, len(rows)), rows, found, tallies, objects, most, int(rivals), ctypes.c_float(iou))
        for tally, mine in zip(tallies, objects, strict=True):
            yield post.detections(tally, mine, 1 << 30, HERE)


def whole_pictures(count: int, width: int, height: int) -> NDArray[Any]:
    """A PICTURE table whose pictures fill the input, so that boxes stay where they are."""
    rows = np.zeros(count, table.PICTURE)
    pixels, letterbox = table.Pixels(0, 0, width, height), Letterbox(width, height, "stretch", 1)
    for number in range(count):
        table.write_picture(rows, number, pixels, (width, height), letterbox)
    return rows


def picture_row(
    rows: NDArray[Any], number: int, picture: NDArray[np.uint8], size: tuple[int, int], letterbox: Letterbox
) -> Placement:
    """Writes the row of a picture (height, width, 3) in this machine's memory."""
    height, width = picture.shape[:2]
    pixels = table.Pixels(picture.ctypes.data, picture.strides[0], width, height)
    return table.write_picture(rows, number, pixels, size, letterbox)


def _argument(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        assert value.flags.c_contiguous
        return ctypes.c_void_p(value.ctypes.data)
    return value
