"""How well boxes lie on each other."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def overlaps(tracks: Array, boxes: Array, margins: Array | None = None) -> Array:
    """(N, M) IoU of boxes (N, 4) and boxes (M, 4), both middle x, y, width, height.

    margins: (N,) pixels by which the first ones, and whatever one of them is compared with, are grown on each side:
        with the uncertainty of a prediction as margin, two boxes that just miss each other after a gap are still
        neighbours (buffered IoU, Yang et al. 2023).
    """
    margin = 0.0 if margins is None else margins[:, None]
    across, area_x, other_x = _along(tracks[:, 0], tracks[:, 2], boxes[:, 0], boxes[:, 2], margin)
    down, area_y, other_y = _along(tracks[:, 1], tracks[:, 3], boxes[:, 1], boxes[:, 3], margin)
    both = across * down
    whole = area_x * area_y + other_x * other_y - both
    found: Array = both / np.maximum(whole, 1e-9)
    return found


def _along(middle: Array, length: Array, other: Array, other_length: Array, margin: Array | float) -> tuple[Array, ...]:
    """Of intervals along one axis, grown by the margin: (N, M) what they share, and their lengths (N, 1), (N, M)."""
    half = (0.5 * length)[:, None] + margin
    other_half = 0.5 * other_length + margin
    middle = middle[:, None]
    shared = np.minimum(middle + half, other + other_half)
    shared -= np.maximum(middle - half, other - other_half)
    return np.maximum(shared, 0, out=shared), 2 * half, 2 * other_half
