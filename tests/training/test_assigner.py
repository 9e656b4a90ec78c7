"""Which cells answer for which object, by cases worked out by hand."""

import pytest
import torch
from torch import Tensor

from engines.training.assigner import CELLS, Assignment, Objects, assign, inside, iou

STRIDE = torch.tensor([8.0])


def row_of_cells(count: int) -> tuple[Tensor, Tensor]:
    """Centres (4, 4), (12, 4), (20, 4) ... and strides of 8."""
    x = torch.arange(count) * 8.0 + 4
    return torch.stack([x, torch.full((count,), 4.0)], 1), STRIDE.expand(count)


def objects(*boxes: tuple[float, ...], classes: list[int] | None = None, scores: list[float] | None = None) -> Objects:
    kinds = torch.tensor([classes or [0] * len(boxes)])
    return Objects(
        torch.tensor([boxes]), kinds, torch.tensor([scores or [1.0] * len(boxes)]), there=kinds >= 0
    )  # fmt: skip


def assigned(wanted: Objects, boxes: list[tuple[float, ...]], probabilities: list[list[float]]) -> Assignment:
    centres, strides = row_of_cells(len(boxes))
    return assign(torch.tensor([probabilities]), torch.tensor([boxes]), centres, strides, wanted)


@pytest.mark.parametrize(
    ("first", "second", "wanted"),
    [
        ((0, 0, 8, 8), (0, 0, 8, 8), 1.0),
        ((0, 0, 8, 8), (4, 0, 12, 8), 1 / 3),
        ((0, 0, 8, 8), (2, 2, 6, 6), 1 / 4),
        ((0, 0, 8, 8), (8, 0, 16, 8), 0.0),
        ((0, 0, 8, 8), (6, 6, 2, 2), 0.0),
    ],
    ids=["same", "half over", "within", "beside", "inside out"],
)
def test_overlap(first: tuple[float, ...], second: tuple[float, ...], wanted: float) -> None:
    assert iou(torch.tensor(first).float(), torch.tensor(second).float()).item() == pytest.approx(wanted, abs=1e-6)


def test_the_centre_decides_whether_a_cell_is_inside() -> None:
    centres, _ = row_of_cells(4)
    boxes = torch.tensor([[[0.0, 0.0, 13.0, 8.0], [13.0, 0.0, 40.0, 3.0]]])
    assert inside(centres, boxes).tolist() == [[[True, True, False, False], [False] * 4]]


def test_the_best_cell_is_asked_for_its_overlap_and_others_for_their_share() -> None:
    # Overlaps 1 and 1/2, probabilities .64 and .64: alignments .8 and .8 / 64.
    found = assigned(objects((0, 0, 16, 8)), [(0, 0, 16, 8), (0, 0, 8, 8), (0, 0, 16, 8)], [[0.64], [0.64], [0.9]])
    assert found.weights[0].tolist() == pytest.approx([1, 1 / 64, 0], abs=1e-6)
    assert found.classes[0, :, 0].tolist() == pytest.approx([1, 1 / 64, 0], abs=1e-6)
    assert found.boxes[0, 0].tolist() == [0, 0, 16, 8]


def test_probability_counts_by_its_root() -> None:
    # The same box twice, probabilities .16 and .64: alignments .4 and .8, the best asked for overlap 1/2.
    found = assigned(objects((0, 0, 16, 8)), [(0, 0, 8, 8)] * 2, [[0.16], [0.64]])
    assert found.weights[0].tolist() == pytest.approx([1 / 4, 1 / 2], abs=1e-6)


def test_only_the_probability_of_the_objects_class_counts() -> None:
    found = assigned(objects((0, 0, 16, 8), classes=[1]), [(0, 0, 16, 8)] * 2, [[0.9, 0.25], [0.1, 1.0]])
    assert found.classes[0].T.tolist() == [pytest.approx([0, 0]), pytest.approx([0.5, 1], abs=1e-6)]


def test_a_cell_that_two_want_goes_to_the_one_it_overlaps_more() -> None:
    wanted = objects((0, 0, 8, 8), (0, 0, 16, 8), classes=[0, 1])
    found = assigned(wanted, [(0, 0, 14, 8), (2, 0, 16, 8)], [[0.5, 0.5]] * 2)
    assert found.boxes[0].tolist() == [[0, 0, 16, 8]] * 2
    assert found.classes[0, :, 0].tolist() == [0, 0]


def test_a_doubtful_soft_label_takes_no_cell_from_a_hand_label() -> None:
    wanted = objects((0, 0, 8, 8), (0, 0, 8, 7), classes=[0, 1], scores=[1.0, 0.2])
    found = assigned(wanted, [(0, 0, 8, 7)], [[0.5, 0.5]])
    assert found.classes[0].tolist() == [[pytest.approx(7 / 8, abs=1e-6), 0]]


def test_a_soft_label_asks_for_its_score() -> None:
    found = assigned(objects((0, 0, 8, 8), scores=[0.3]), [(0, 0, 8, 8)], [[0.5]])
    assert found.weights.item() == pytest.approx(0.3, abs=1e-6)


def test_an_object_smaller_than_a_cell_has_one() -> None:
    found = assigned(objects((9, 0, 11, 2)), [(0, 0, 8, 8), (9, 0, 11, 4)], [[0.5], [0.5]])
    assert found.weights[0].tolist() == pytest.approx([0, 0.5], abs=1e-6)


def test_an_object_has_so_many_cells_at_most() -> None:
    count = CELLS + 5
    boxes = [(0.0, 0.0, 8.0 * count, 8.0)] * count
    found = assigned(objects(boxes[0]), boxes, [[0.5]] * count)
    assert (found.weights > 0).sum() == CELLS


def test_nothing_there_is_all_background() -> None:
    found = assigned(objects((0, 0, 8, 8), classes=[-1]), [(0, 0, 8, 8)], [[0.5]])
    assert found.weights.tolist() == [[0]]
    assert found.classes.tolist() == [[[0]]]
