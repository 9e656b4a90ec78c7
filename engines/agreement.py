"""How alike two engines compute the same file."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.engine import Engine

_SQUARES = (4, 8, 16)  # per side, of the sample pictures
ENOUGH = 0.9
"""Agreement of engines that both compute a file rightly: with INT8 kernels that do, it is .95 to 1, else under .85."""


def agreement(engine: Engine, other: Engine, factor: float = 1 / 255) -> float:
    """How alike both answer to what differs between pictures of coloured squares and a grey one; at most 1.

    factor: by which an engine that takes bytes multiplies them; one that doesn't is given them multiplied.

    Answers to a single picture are alike even if one engine is blind: most of an answer is where the boxes' grid
    cells lie. Rounding in 8 bits makes small differences, so the correlation is looked at, not the values.
    """
    changes = zip(_changes(engine, factor), _changes(other, factor), strict=True)
    with np.errstate(invalid="ignore"):
        found = float(np.mean([np.corrcoef(one, two)[0, 1] for one, two in changes]))
    return found if np.isfinite(found) else 0.0  # where nothing changes there is no correlation


def _changes(engine: Engine, factor: float) -> list[NDArray[Any]]:
    grey, *others = (_answer(engine, squares, factor) for squares in (1, *_SQUARES))
    return [answer - grey for answer in others]


def _answer(engine: Engine, squares: int, factor: float) -> NDArray[Any]:
    """All outputs in one row, for pictures of squares in colours that are the same each time."""
    spec = engine.input
    colours = np.rint(255 * np.random.default_rng(squares).random((spec.batch, 3, squares, squares)))
    rows = np.arange(spec.height) * squares // spec.height
    columns = np.arange(spec.width) * squares // spec.width
    pictures = colours[:, :, rows][:, :, :, columns]
    pictures = pictures.transpose(0, 2, 3, 1) if spec.dtype == np.uint8 else pictures * factor
    batch = np.ascontiguousarray(pictures, spec.dtype)
    return np.concatenate([output.astype(np.float64).ravel() for output in engine.infer(batch)])
