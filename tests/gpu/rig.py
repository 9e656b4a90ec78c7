"""Kernels and small models on a real GPU, called as the tests on the CPU call them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.detections import Detections
from engines.engine import InputSpec
from engines.heads.head import Thresholds
from engines.model import ModelInfo
from engines.tensorrt import pictures as table
from engines.tensorrt import postprocess as post
from engines.tensorrt.device import Device


@dataclass
class OnGpu:
    """Kernels with arrays of this machine; everything is copied in and out."""

    device: Device

    @contextmanager
    def taken(self, *arrays: NDArray[Any]) -> Iterator[list[Any]]:
        """Copies of arrays on the GPU, by address; what kernels write is copied back."""
        with self.device.use("a test"):
            stream = self.device.stream()
            memory = [self.device.allocate(array.nbytes) for array in arrays]
            for array, place in zip(arrays, memory, strict=True):
                self.device.copy_in(int(place), np.ascontiguousarray(array), stream)
            stream.synchronize()
            yield [stream, *(np.uintp(int(place)) for place in memory)]
            for array, place in zip(arrays, memory, strict=True):
                self.device.copy_out(array, int(place), stream)
            stream.synchronize()
            for place in memory:
                place.free()

    def letterbox(
        self,
        rows: NDArray[Any],
        given: list[NDArray[np.uint8]],
        spec: InputSpec,
        model: ModelInfo,
        chroma: Sequence[NDArray[np.uint8]] = (),
    ) -> NDArray[Any]:
        """The input tensor of a PICTURE table whose pixels are `given`: RGB, or NV12 if there is `chroma`."""
        tensor = np.full(spec.shape(len(rows)), np.nan, spec.dtype)
        name = "letterbox_nv12" if chroma else "letterbox_rgb"
        with self.taken(tensor, *given, *chroma) as (stream, target, *places):
            for field, planes in (("pixels", places[: len(given)]), ("chroma", places[len(given) :])):
                rows[field][: len(planes)] = [int(place) for place in planes]
            argument = np.void(table.input_argument(int(target), spec, model).tobytes())
            with self.taken(rows) as (_, where):
                kernel = self.device.kernel("letterbox", name)
                kernel(where, argument, block=(256, 1, 1), grid=table.tiles(spec, len(rows)), stream=stream)
                stream.synchronize()
        return tensor

    def boxes(
        self, answer: NDArray[Any], how: post.Reading, thresholds: Thresholds, rows: NDArray[Any], iou: float, most: int
    ) -> list[Detections]:
        """What is found in a network's answer, by class."""
        count, classes = len(answer), len(thresholds.per_class)
        grid = how.grid if how.grid is not None else np.zeros(1, np.float32)
        levels, tallies = post.threshold_table([thresholds]), np.zeros(count, post.TALLY)
        objects = np.zeros((count, most), post.OBJECT)
        scores, kinds = np.zeros((count, how.boxes), np.float32), np.zeros((count, how.boxes), np.int32)
        candidates = np.zeros((count, post.CAPACITY), post.CANDIDATE)
        arrays = (answer, grid, levels, rows, scores, kinds, tallies, candidates, objects)
        with self.taken(*arrays) as (stream, given, cells, limits, pictures, *rest):
            value = how.argument([int(given)], answer.dtype, int(cells) if how.grid is not None else 0, classes)
            self._launch(stream, np.void(value.tobytes()), how, count, (limits, pictures, *rest), iou, most)
        return [post.detections(tally, mine, classes, _HERE) for tally, mine in zip(tallies, objects, strict=True)]

    def _launch(
        self, stream: Any, answer: np.void, how: post.Reading, count: int, places: Any, iou: float, most: int
    ) -> None:
        limits, pictures, scores, kinds, tallies, candidates, objects = places
        kernel, each = self.device.kernel, (1, 1, count)
        blocks = (-(-how.boxes // post.SCORING_THREADS), 1, count)
        arguments: tuple[Any, ...] = (answer, pictures, limits, scores, kinds, tallies)
        kernel("candidates", "score_boxes")(*arguments, block=(256, 1, 1), grid=blocks, stream=stream)
        arguments = (answer, scores, kinds, tallies, candidates)
        kernel("candidates", "choose_candidates")(*arguments, block=(1024, 1, 1), grid=each, stream=stream)
        limit = np.int32(most), np.int32(how.rivals(False)), np.float32(iou)
        arguments = (pictures, candidates, tallies, objects, *limit)
        kernel("nms", "suppress")(*arguments, block=(256, 1, 1), grid=each, stream=stream)


_HERE = Path(__file__)
