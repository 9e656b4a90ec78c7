"""How much boxes have in common."""

import numpy as np

from engines.detections import Floats


def overlaps(first: Floats, second: Floats) -> Floats:
    """IoU (N, M), float32, of boxes (N, 4) and (M, 4): left, top, right, bottom; of empty boxes 0."""
    low = np.maximum(first[:, None, :2], second[:, :2])
    high = np.minimum(first[:, None, 2:], second[:, 2:])
    shared = np.clip(high - low, 0, None).prod(-1)
    areas = (np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(-1) for boxes in (first, second))
    whole = np.add.outer(*areas) - shared
    return np.asarray(shared / np.maximum(whole, 1e-9), np.float32)
