"""JPEGs in, boxes out: what an engine offers that does all between by itself, on a GPU."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from engines.model import ModelInfo

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from engines.detections import Detections
    from engines.detector import Detector, Times
    from engines.engine import Engine


@dataclass(frozen=True, slots=True)
class Frame:
    """A JPEG as it came. width, height: its own, in pixels. unsure: less sure boxes are wanted too."""

    jpeg: bytes
    width: int
    height: int
    unsure: bool = False


@dataclass(frozen=True, slots=True)
class Damaged:
    """A frame that can't be decoded, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class GpuTimes:
    """By the GPU's own clock, in seconds per batch. decode: JPEGs to pixels. infer: letterbox to boxes."""

    decode: float = 0.0
    infer: float = 0.0


class JpegDetector(Protocol):
    """`start` up to `depth` batches, then `finish` the oldest. For one thread.

    times, gpu_times: of the last `finish`. by_cpu: how many of its frames the CPU was asked to decode.
    """

    model: ModelInfo
    times: "Times"
    gpu_times: GpuTimes
    by_cpu: int

    @property
    def engine(self) -> "Engine":
        """What runs the network."""

    @property
    def batch(self) -> int:
        """The most frames of a batch."""

    @property
    def best(self) -> int:
        """The frames per batch that the engine was made to be fastest at."""

    @property
    def depth(self) -> int:
        """How many batches may be under way."""

    def wanted_size(self, width: int, height: int) -> tuple[int, int]:
        """See Detector."""

    def sure(self, found: "Detections") -> "npt.NDArray[np.bool_]":
        """See Detector."""

    def start(self, frames: Sequence[Frame]) -> None:
        """Queues a batch of 1 to `batch` frames, and returns before it is done.

        Raises:
            StreamerError: it can't be run.
        """

    def finish(self) -> "list[Detections | Damaged]":
        """What is in each frame of the oldest batch under way, in its pixels.

        Raises:
            StreamerError: it can't be run, or gives classes that it doesn't have.
        """

    def close(self) -> None:
        """Lets memory go, once what is under way is done."""


@runtime_checkable
class JpegEngine(Protocol):
    """An engine that can do more than run a network."""

    def jpeg_detector(self, detector: "Detector") -> JpegDetector | None:
        """The same model from JPEGs on, instead of `detector`, whose buffers are let go; None if it can't."""
