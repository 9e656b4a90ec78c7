"""What is measured with: a folder that `tests/gpu/pack.sh` fills, so that it can be carried to a GPU machine.

models/fp32.onnx, models/int8.onnx   detectors that take any batch; the second may be missing
frames/*.jpg                         at least 200 different ones of 1280x720, baseline, 4:2:0
labelled/val.json, labelled/images   a data set in COCO's format
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import simplejpeg

from engines.detector import Detector, open_detector
from engines.jpeg_detector import Frame
from engines.tensorrt.detector import GpuDetector, on_gpu
from engines.training.dataset import Dataset, read_dataset
from streamer.errors import UsageError
from streamer.settings import DetectSettings

BY_GPU = "all decoded by the GPU"  # else figures "from JPEG" are libjpeg-turbo's
# Takes figures of a part that isn't done yet, so that they aren't lost if it is cut off.
Note = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True)
class Material:
    """batch: the most frames per inference."""

    folder: Path
    batch: int = 32

    def model(self, name: str) -> Path:
        """Of that name, which may not be there."""
        return self.folder / "models" / f"{name}.onnx"

    @cached_property
    def frames(self) -> Sequence[Frame]:
        """All of them, in memory."""
        files = sorted((self.folder / "frames").glob("*.jpg"))
        if not files:
            raise UsageError(f"{self.folder}/frames has no .jpg files; make them with tests/gpu/material.py")
        return [frame_of(file.read_bytes()) for file in files]

    @cached_property
    def labelled(self) -> Dataset:
        """The data set."""
        return read_dataset(self.folder / "labelled", "val")

    def settings(self, name: str = "fp32", engine: str = "tensorrt", **more: Any) -> DetectSettings:
        """For a model."""
        return DetectSettings(model=str(self.model(name)), engine=engine, batch=self.batch, **more)

    def gpu_detector(self, slots: int = 2, **more: Any) -> GpuDetector:
        """The FP32 file, from JPEG to boxes."""
        detector: Detector = open_detector(self.settings(**more), 1)
        found = on_gpu(detector, slots)
        if found is None:
            raise UsageError(f"{detector.model.path}: the kernels don't read its layout {detector.model.head}")
        return found


def frame_of(jpeg: bytes) -> Frame:
    """A JPEG with its size."""
    height, width, *_ = simplejpeg.decode_jpeg_header(jpeg)
    return Frame(jpeg, width, height)


@contextmanager
def precision(name: str) -> Iterator[None]:
    """Engines that are opened meanwhile are of that precision, as the setting tensorrt.precision says it."""
    variable = "STREAMER_TENSORRT__PRECISION"
    before = os.environ.get(variable)
    os.environ[variable] = name
    yield
    if before is None:
        del os.environ[variable]
    else:
        os.environ[variable] = before
