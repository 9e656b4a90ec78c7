"""What every head offers, and what it is recognised by.

Heads are entry points of the group `streamer.heads`; an entry point is a class like `Head`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from engines.detections import Detections, Floats, Ints
from engines.letterbox import Padding

Outputs = Sequence[NDArray[Any]]

_STRIDES = ((8, 16, 32), (8, 16, 32, 64), (4, 8, 16, 32), (16, 32))


@dataclass(frozen=True, slots=True)
class Convention:
    """What pictures a network of a layout was trained on, unless its file says otherwise.

    colour: order of the channels.
    factor: what a channel value (0 to 255) is multiplied by.
    """

    colour: Literal["RGB", "BGR"] = "RGB"
    factor: float = 1 / 255
    padding: Padding = "centre"


@dataclass(frozen=True, slots=True)
class Sample:
    """What a network answers to a grey picture, and what its file says: enough to know its layout.

    width, height: of the network's input.
    outputs: its outputs for one picture, first axis 1.
    names: class names in the file, none if it has none.
    """

    width: int
    height: int
    outputs: Outputs
    names: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Shapes of the outputs."""
        return [output.shape for output in self.outputs]

    def boxes_per_cell(self, rows: int) -> int:
        """1 or 3 if `rows` is what a grid of so many boxes per cell has, over all usual strides; else 0."""
        for strides in _STRIDES:
            cells = sum(-(-self.width // stride) * -(-self.height // stride) for stride in strides)
            if rows in (cells, 3 * cells):
                return rows // cells
        return 0

    def fits_names(self, classes: int) -> bool:
        """Whether so many classes are as many as the file names, if it names any."""
        return classes >= 1 and len(self.names) in (0, classes)


@dataclass(frozen=True, slots=True, eq=False)
class Thresholds:
    """How confident a box must be.

    per_class: float32 (classes,), infinite for classes that nobody wants. lowest: of them. same: whether all are.
    """

    per_class: Floats
    lowest: float
    same: bool

    @classmethod
    def of(cls, per_class: Sequence[float]) -> Self:
        """From one threshold per class."""
        array = np.asarray(per_class, np.float32)
        lowest = float(array.min(initial=np.inf))
        return cls(array, lowest, bool((array == lowest).all()))


class Head(Protocol):
    """Turns a network's outputs into boxes.

    name: as the setting `head` says it.
    convention: what its networks usually want.
    classes: how many classes the outputs have; None if they don't tell.
    overlapping: whether one object may have several boxes, so that NMS is needed.
    """

    name: ClassVar[str]
    convention: ClassVar[Convention]
    classes: int | None
    overlapping: bool

    @staticmethod
    def recognise(sample: Sample) -> str | None:
        """Why this is the head for it, in some words; None if it isn't."""

    @classmethod
    def bind(cls, sample: Sample) -> Self:
        """The head for a network that answers so, recognised or not.

        Raises:
            ValueError: outputs of these shapes can't be of this layout.
        """

    def decode(self, outputs: Outputs, picture: int, thresholds: Thresholds) -> Detections:
        """Boxes of picture number `picture` in the batch that reach their class's threshold, in network pixels.

        What is not finite may be left in. Floating point errors are ignored around the call.
        """


def corners(centred: NDArray[Any]) -> Floats:
    """Boxes (N, 4) from centre x, centre y, width, height to left, top, right, bottom."""
    boxes = np.empty((len(centred), 4), np.float32)
    half = centred[:, 2:] / 2
    np.subtract(centred[:, :2], half, out=boxes[:, :2])
    np.add(centred[:, :2], half, out=boxes[:, 2:])
    return boxes


def confident(boxes: Floats, scores: Floats, classes: Ints, thresholds: Thresholds) -> Detections:
    """Those whose score reaches the threshold of their class."""
    found = Detections(boxes, scores, classes)
    keep = scores >= (thresholds.lowest if thresholds.same else thresholds.per_class[classes])
    return found if keep.all() else found[keep]


def only(sample: Sample, axes: int) -> tuple[int, ...]:
    """Shape of the only output, which has so many axes.

    Raises:
        ValueError: there are more outputs, or it has other axes.
    """
    if len(sample.outputs) != 1 or sample.outputs[0].ndim != axes:
        raise ValueError(f"it wants one output of {axes} axes")
    return tuple(sample.outputs[0].shape)
