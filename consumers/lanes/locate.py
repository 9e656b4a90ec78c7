"""From JPEG pixels to upright source pixels, and whether a JPEG is large enough."""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from streamer.records import BBox, DetectedObject, FrameHeader

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from engines.detections import Detections
    from engines.detector import Detector
    from engines.jpeg_detector import JpegDetector


def source_boxes(boxes: "npt.NDArray[np.float32]", header: FrameHeader) -> "npt.NDArray[np.float32]":
    """Boxes (N, 4) x1, y1, x2, y2 in JPEG pixels as boxes in upright source pixels, within the picture.

    A box's corners become the corners of the upright box around them: exact for turns by 90 degrees.
    """
    import numpy as np

    if not len(boxes):
        return boxes
    m0, m1, m2, m3, m4, m5 = header.matrix
    limits = _row(header.source_width, header.source_height)
    if m1 == m3 == 0 and m0 > 0 and m4 > 0:
        # Neither turned nor mirrored, as nearly always: left stays left.
        moved = boxes * _row(m0, m4)
        moved += _row(m2, m5)
        # Not np.clip: ten times the time on a few boxes.
        np.maximum(moved, 0, out=moved)
        np.minimum(moved, limits, out=moved)
        return moved
    xs, ys = boxes[:, (0, 2)], boxes[:, (1, 3)]
    across, down = m0 * xs + m1 * ys + m2, m3 * xs + m4 * ys + m5
    corners = np.stack((across.min(1), down.min(1), across.max(1), down.max(1)), axis=1)
    inside: npt.NDArray[np.float32] = np.clip(corners, 0, limits, dtype=np.float32)
    return inside


def detected_objects(found: "Detections", header: FrameHeader, names: Sequence[str]) -> tuple[DetectedObject, ...]:
    """What was found in a frame's JPEG, in upright source pixels; ids count from 0. names: of the model's classes."""
    boxes = source_boxes(found.boxes, header)
    rows = zip(boxes.tolist(), found.classes.tolist(), found.scores.tolist(), strict=True)
    return tuple(DetectedObject(str(i), BBox(*box), names[kind], score) for i, (box, kind, score) in enumerate(rows))


@lru_cache(maxsize=256)
def _row(x: float, y: float) -> "npt.NDArray[np.float32]":
    """float32 (4,): for both corners; the same in all frames of a stream, so not made anew for each."""
    import numpy as np

    return np.array((x, y, x, y), np.float32)


def too_small(header: FrameHeader, detector: "Detector | JpegDetector") -> bool:
    """Whether the JPEG was made smaller than the network's letterbox, so that detail is missing."""
    m0, m1, _, m3, m4, _ = header.matrix
    across, down = math.hypot(m0, m3), math.hypot(m1, m4)  # source pixels per JPEG pixel
    if max(across, down) <= 1.01:
        return False
    wanted = detector.wanted_size(round(header.width * across), round(header.height * down))
    # A pixel less comes from rounding the aspect.
    return bool(header.width < wanted[0] - 1 or header.height < wanted[1] - 1)
