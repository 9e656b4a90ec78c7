"""How well predictions and boxes lie on each other."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def overlaps(tracks: Array, boxes: Array, margins: Array | None = None) -> Array:
    """(N, M) IoU of tracks (N, 4) and boxes (M, 4), both middle x, y, width, height.

    margins: (N,) pixels by which a track's box, and the box that it is compared with, are grown on each side: with
        the uncertainty of a prediction after a gap, two boxes that just miss each other are still neighbours
        (buffered IoU, Yang et al. 2023).
    """
    half_track, half_box = tracks[:, None, 2:] / 2, boxes[None, :, 2:] / 2
    if margins is not None:
        grown = margins[:, None, None]
        half_track, half_box = half_track + grown, half_box + grown
    apart = np.abs(tracks[:, None, :2] - boxes[None, :, :2])
    # Along an axis: the sum of the halves less the distance, but no more than the smaller whole.
    common = np.minimum(half_track + half_box - apart, 2 * np.minimum(half_track, half_box))
    np.maximum(common, 0, out=common)
    both = common[..., 0] * common[..., 1]
    areas = 4 * (half_track[..., 0] * half_track[..., 1] + half_box[..., 0] * half_box[..., 1])
    found: Array = both / np.maximum(areas - both, 1e-9)
    return found
