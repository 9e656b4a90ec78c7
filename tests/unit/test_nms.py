"""Suppression against a plain reference, and the table of what competes."""

import numpy as np
import pytest

from engines.detections import Detections
from engines.nms import suppress


def detections(*rows: tuple[float, ...]) -> Detections:
    """left, top, right, bottom, score, class each."""
    table = np.array(rows, np.float32).reshape(-1, 6)
    return Detections(table[:, :4].copy(), table[:, 4].copy(), table[:, 5].astype(np.int64))


def reference(found: Detections, iou: float, agnostic: bool) -> list[int]:
    kept: list[int] = []
    for number in np.argsort(-found.scores, kind="stable"):
        rivals = [k for k in kept if agnostic or found.classes[k] == found.classes[number]]
        if all(overlap(found.boxes[number], found.boxes[k]) <= iou for k in rivals):
            kept.append(int(number))
    return kept


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    width, height = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    inter = max(width, 0) * max(height, 0)
    return float(inter / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inter))


@pytest.mark.parametrize(
    ("rows", "agnostic", "kept"),
    [
        ((), False, []),
        (((0, 0, 9, 9, 0.5, 0),), False, [0]),
        (((0, 0, 9, 9, 0.5, 0), (0, 0, 9, 9, 0.9, 0)), False, [1]),
        (((0, 0, 9, 9, 0.5, 0), (0, 0, 9, 9, 0.9, 1)), False, [1, 0]),
        (((0, 0, 9, 9, 0.5, 0), (0, 0, 9, 9, 0.9, 1)), True, [1]),
        (((0, 0, 9, 9, 0.5, 0), (9, 0, 18, 9, 0.9, 0)), True, [1, 0]),
        (((-9, -9, 0, 0, 0.5, 0), (-9, -9, 0, 0, 0.4, 0)), False, [0]),
        (((90, 0, 80, 9, 0.9, 0), (0, 0, 9, 9, 0.5, 1)), False, [1]),
        (((90, 0, 80, 9, 0.9, 0), (0, 0, 9, 9, 0.5, 1)), True, [1]),
        (((0, 20, 9, 9, 0.9, 0), (0, 0, 9, 9, 0.5, 0), (5, 5, 5, 5, 0.4, 0)), False, [1]),
        (((5, 5, 5, 5, 0.9, 0), (5, 6, 5, 5, 0.4, 0)), False, []),
    ],
)
def test_what_competes(rows: tuple[tuple[float, ...], ...], agnostic: bool, kept: list[int]) -> None:
    assert suppress(detections(*rows), 0.5, agnostic).tolist() == kept


@pytest.mark.parametrize("agnostic", [False, True])
@pytest.mark.parametrize("iou", [0.3, 0.45, 0.7])
@pytest.mark.parametrize("start", [0, -100, -3000])
def test_like_the_reference(start: int, iou: float, agnostic: bool) -> None:
    random = np.random.default_rng(3)
    corner = start + random.integers(0, 8, (200, 2)) * 20 + random.normal(0, 2, (200, 2))
    boxes = np.concatenate([corner, corner + random.uniform(40, 50, (200, 2))], axis=1).astype(np.float32)
    scores = random.permutation(200).astype(np.float32) / 200 + 0.001
    found = Detections(boxes, scores.astype(np.float32), random.integers(0, 4, 200))

    kept = suppress(found, iou, agnostic)

    assert kept.tolist() == reference(found, iou, agnostic)
    assert 10 < len(kept) < 200
