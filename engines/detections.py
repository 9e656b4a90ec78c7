"""What was found in one picture."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
_FLOAT, _INT = np.dtype(np.float32), np.dtype(np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """Boxes of one picture, of any number, none included. Which pixels they are in, the giver says.

    boxes: float32 (N, 4): left, top, right, bottom.
    scores: float32 (N,), 0 to 1.
    classes: int64 (N,), index into the model's class names.

    Raises:
        ValueError: the arrays' shapes or types are others.
    """

    boxes: Floats
    scores: Floats
    classes: Ints

    def __post_init__(self) -> None:
        count = len(self.scores)
        _check("boxes", self.boxes, (count, 4), _FLOAT)
        _check("scores", self.scores, (count,), _FLOAT)
        _check("classes", self.classes, (count,), _INT)

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, index: Any) -> Self:
        """Those at the given positions: a slice, a boolean mask or an array of positions."""
        return type(self)(self.boxes[index], self.scores[index], self.classes[index])

    @classmethod
    def none(cls) -> Self:
        """Nothing found."""
        return cls(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int64))


def _check(name: str, array: NDArray[Any], shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    if array.shape != shape or array.dtype != dtype:
        raise ValueError(f"{name} are {array.dtype} {array.shape}, not {dtype} {shape}")
