"""How well boxes lie on each other."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def overlaps(tracks: Array, boxes: Array, margins: Array | None = None) -> Array:
    """(N, M) IoU of boxes (N, 4) and boxes (M, 4), both middle x, y, width, height, of some size.

    margins: (N,) pixels by which the first ones, and whatever one of them is compared with, are grown on each side:
        with the uncertainty of a prediction as margin, two boxes that just miss each other after a gap are still
        neighbours (buffered IoU, Yang et al. 2023).
    """
    # Both axes at once, as (2, N, 1) and (2, 1, M); on rows that lie apart in memory numpy is five times slower.
    columns, other_columns = np.ascontiguousarray(tracks.T)[:, :, None], np.ascontiguousarray(boxes.T)[:, None]
    middle, size = columns[:2], columns[2:]
    other_middle, other_size = other_columns[:2], other_columns[2:]
    half, other_half = 0.5 * size, 0.5 * other_size
    shared = np.minimum(middle + half, other_middle + other_half)
    shared -= np.maximum(middle - half, other_middle - other_half)
    if margins is not None:
        grown = (2 * margins)[:, None]
        size, other_size, shared = size + grown, other_size + grown, shared + grown
    np.maximum(shared, 0, out=shared)
    both = shared[0] * shared[1]
    found: Array = both / (size[0] * size[1] + other_size[0] * other_size[1] - both)
    return found
