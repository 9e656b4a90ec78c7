"""Losses against their formulas, written out in NumPy; what is not known is not punished."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from engines.training.assigner import Objects, assign
from engines.training.batches import Batch
from engines.training.losses import BOX_WEIGHT, class_weights, detection_loss, giou, varifocal
from engines.training.network import anchors, corners, flattened

SIZE = 64


@pytest.mark.parametrize(
    ("probability", "wanted", "loss"),
    [
        (0.5, 0.0, -0.75 * 0.5**2 * math.log(0.5)),
        (0.9, 0.0, -0.75 * 0.9**2 * math.log(0.1)),
        (0.1, 1.0, -math.log(0.1)),
        (0.4, 0.7, -0.7 * (0.7 * math.log(0.4) + 0.3 * math.log(0.6))),
    ],
)
def test_varifocal(probability: float, wanted: float, loss: float) -> None:
    logit = torch.tensor([math.log(probability / (1 - probability))])
    assert varifocal(logit, torch.tensor([wanted])).item() == pytest.approx(loss, rel=1e-5)


@pytest.mark.parametrize(
    ("second", "wanted"),
    [
        ((0, 0, 4, 4), 1.0),
        ((2, 0, 6, 4), 8 / 24),  # the hull is the union
        ((4, 4, 8, 8), 0 - (64 - 32) / 64),
        ((8, 0, 12, 4), 0 - (48 - 32) / 48),
    ],
    ids=["same", "half over", "corner to corner", "apart"],
)
def test_generalised_overlap(second: tuple[float, ...], wanted: float) -> None:
    first = torch.tensor([0.0, 0.0, 4.0, 4.0])
    assert giou(first, torch.tensor(second).float()).item() == pytest.approx(wanted, rel=1e-5)


def batch(**changes: torch.Tensor) -> Batch:
    """Two inputs of two classes: an object of class 0 in the first, nothing in the second."""
    plain = Batch(
        images=torch.zeros(2, 3, SIZE, SIZE),
        boxes=torch.tensor([[[8.0, 8.0, 40.0, 40.0]], [[0.0, 0.0, 0.0, 0.0]]]),
        classes=torch.tensor([[0], [-1]]),
        scores=torch.ones(2, 1),
        ignore=torch.zeros(2, 1, dtype=torch.bool),
        tiles=torch.tensor([[[0.0, 0.0, SIZE, SIZE]]] * 2),
        known=torch.ones(2, 1, 2, dtype=torch.bool),
        taught=torch.ones(2, 1, dtype=torch.bool),
    )
    return replace(plain, **changes)


def answers(seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(2, 6, SIZE // stride, SIZE // stride, generator=generator) for stride in (8, 16, 32)]


def test_the_loss_is_the_mean_over_what_is_wanted() -> None:
    levels, given = answers(), batch()
    loss = detection_loss(levels, given)
    flat, (centres, strides) = flattened(levels), anchors(levels)
    logits, boxes = flat[:, 4:].transpose(1, 2), corners(flat[:, :4], centres, strides)
    target = assign(
        logits.sigmoid(), boxes, centres, strides, Objects(given.boxes, given.classes, given.scores, given.classes >= 0)
    )
    p, q, w = (part.double().numpy() for part in (logits.sigmoid(), target.classes, target.weights))
    focal = np.where(q > 0, -q * (q * np.log(p) + (1 - q) * np.log(1 - p)), -0.75 * p**2 * np.log(1 - p))
    found = (w * (1 - giou(boxes, target.boxes).double().numpy())).sum()
    samples = max(1, w.sum())
    assert loss.classes.item() == pytest.approx(focal.sum() / samples, rel=1e-4)
    assert loss.boxes.item() == pytest.approx(found / samples, rel=1e-4)
    assert loss.total.item() == pytest.approx((focal.sum() + BOX_WEIGHT * found) / samples, rel=1e-4)


def weights(given: Batch, absence: float = 0.0) -> np.ndarray:
    """(2, anchors, 2) of an untrained network's answer."""
    levels = answers()
    flat, (centres, strides) = flattened(levels), anchors(levels)
    wanted = Objects(given.boxes, given.classes, given.scores, (given.classes >= 0) & ~given.ignore)
    boxes = corners(flat[:, :4], centres, strides)
    target = assign(flat[:, 4:].transpose(1, 2).sigmoid(), boxes, centres, strides, wanted)
    found = class_weights(target, given, centres, absence)
    assert (found[target.classes > 0] == 1).all()
    return np.where(target.classes.numpy() > 0, np.nan, found.numpy())


@pytest.mark.parametrize("absence", [0.0, 0.5])
def test_absence_that_is_not_known_counts_as_told(absence: float) -> None:
    known = torch.tensor([[[True, False]], [[True, True]]])
    found = weights(batch(known=known), absence)
    assert set(np.unique(found[0, :, 0][~np.isnan(found[0, :, 0])])) == {1.0}
    assert set(found[0, :, 1]) == {absence}
    assert set(found[1].ravel()) == {1.0}


def test_of_a_mosaic_each_part_has_its_own_knowledge() -> None:
    tiles = torch.tensor([[[0.0, 0.0, 32.0, SIZE], [32.0, 0.0, SIZE, SIZE]]] * 2)
    known = torch.tensor([[[True, True], [False, True]]] * 2)
    found = weights(batch(tiles=tiles, known=known))
    centres, _ = anchors(answers())
    left = (centres[:, 0] < 32).numpy()
    assert set(found[1, left].ravel()) == {1.0}
    assert set(found[1, ~left, 0]) == {0.0}
    assert set(found[1, ~left, 1]) == {1.0}


def test_what_is_to_be_ignored_is_neither_object_nor_background_of_its_class() -> None:
    found = weights(batch(ignore=torch.tensor([[True], [False]])))
    centres, _ = anchors(answers())
    within = ((centres > 8) & (centres < 40)).all(1).numpy()
    assert set(found[0, within, 0]) == {0.0}
    assert set(found[0, ~within, 0]) == {1.0}
    assert set(found[0, :, 1]) == {1.0}


@pytest.mark.parametrize("left", [13.5, 16.0])
def test_a_box_between_two_columns_of_cells_is_learnt(left: float) -> None:
    """Cell centres are at 12 and 20 pixels; the box is 2 wide, so that none need lie in it."""
    narrow = torch.tensor([[[left, 16.0, left + 2, 32.0]], [[0.0, 0.0, 0.0, 0.0]]])
    levels = [torch.zeros(2, 6, SIZE // stride, SIZE // stride, requires_grad=True) for stride in (8, 16, 32)]
    optimiser = torch.optim.Adam(levels, lr=0.1)
    for _ in range(300):
        optimiser.zero_grad()
        detection_loss(levels, batch(boxes=narrow)).total.backward()
        optimiser.step()
    flat, (centres, strides) = flattened(levels), anchors(levels)
    surest = int(flat[0, 4].argmax())
    found = corners(flat[:, :4], centres, strides)[0, surest]
    assert giou(found, narrow[0, 0]).item() > 0.9


def test_no_object_at_all_is_a_loss_too_and_a_small_one_when_nothing_is_found() -> None:
    empty = batch(classes=torch.tensor([[-1], [-1]]))
    levels = answers()
    sure = [torch.cat([level[:, :4], torch.full_like(level[:, 4:], -12.0)], 1) for level in levels]
    assert detection_loss(levels, empty).total.item() > 1
    assert detection_loss(sure, empty).total.item() < 1e-3
    assert detection_loss(levels, empty).boxes.item() == 0


def test_soft_labels_where_the_class_is_not_known_are_learnt() -> None:
    known = torch.zeros(2, 1, 2, dtype=torch.bool)
    levels = [level.requires_grad_() for level in answers()]
    detection_loss(levels, batch(known=known, scores=torch.full((2, 1), 0.4))).total.backward()
    moved = flattened([level.grad for level in levels])[:, 4:]
    assert (moved[0, 0] != 0).any()  # the object's class, in its cells
    assert (moved[0, 1] == 0).all()
    assert (moved[1] == 0).all()
