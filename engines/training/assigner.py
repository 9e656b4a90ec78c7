"""Which cells answer for which object: those whose class and box already agree with it most.

Task-aligned assignment, TOOD (Feng et al. 2021, arXiv:2108.07755): the alignment of a cell with an object is
t = s^α · u^β, s its probability of the object's class, u the overlap (IoU) of its box with the object's.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

ALPHA, BETA = 0.5, 6.0
CELLS = 10  # that answer for an object at most
_TINY = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Objects:
    """What is in a batch: boxes float32 (B, M, 4) in pixels, classes int64 (B, M), scores float32 (B, M) 0 to 1.

    there: bool (B, M), which of the M are objects to be found.
    """

    boxes: Tensor
    classes: Tensor
    scores: Tensor
    there: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Assignment:
    """What each of A cells is to answer.

    boxes: float32 (B, A, 4), pixels; of any value where `weights` is 0.
    classes: float32 (B, A, C), the probabilities wanted.
    weights: float32 (B, A), how much a cell's box counts: its largest probability, 0 for background.
    """

    boxes: Tensor
    classes: Tensor
    weights: Tensor


def assign(probabilities: Tensor, boxes: Tensor, centres: Tensor, strides: Tensor, objects: Objects) -> Assignment:
    """Up to CELLS cells for each object, among those with their centre in its box.

    A cell that two objects want goes to the one that it overlaps more, each overlap times the object's score. The
    probability wanted of a cell is its alignment, scaled so that an object's best cell is asked for its overlap, times
    the object's score.

    Args:
        probabilities: float32 (B, A, C), of the network as it is. boxes: float32 (B, A, 4), its boxes in pixels.
        centres: float32 (A, 2), of the cells, pixels. strides: float32 (A,).
        objects: of the batch.
    """
    possible = inside(centres, _reachable(objects.boxes, strides.amin())) & objects.there[..., None]
    overlaps = iou(objects.boxes[:, :, None], boxes[:, None]) * possible  # (B, M, A)
    scores = _of_class(probabilities, objects.classes)
    alignment = scores**ALPHA * overlaps**BETA * possible
    chosen = _best(alignment, possible)
    rivals = (overlaps + _TINY) * objects.scores[..., None] * chosen
    owner = rivals.argmax(1)  # (B, A)
    chosen &= torch.arange(chosen.shape[1], device=owner.device)[:, None] == owner[:, None]
    best_alignment = (alignment * chosen).amax(2, keepdim=True)
    best_overlap = (overlaps * chosen).amax(2, keepdim=True)
    wanted = alignment * best_overlap / (best_alignment + _TINY) * objects.scores[..., None] * chosen
    weights = wanted.amax(1)
    return Assignment(
        objects.boxes.gather(1, owner[..., None].expand(-1, -1, 4)),
        _one_hot(objects.classes.gather(1, owner), probabilities.shape[2]) * weights[..., None],
        weights,
    )


def inside(centres: Tensor, boxes: Tensor) -> Tensor:
    """Bool (B, M, A): which of the centres, (A, 2) or (B, A, 2), lie in which of the boxes (B, M, 4)."""
    x, y = centres.unsqueeze(-3).unbind(-1)
    left, top, right, bottom = boxes[..., None].unbind(2)
    return (x > left) & (x < right) & (y > top) & (y < bottom)


def iou(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union of boxes (..., 4) left, top, right, bottom; shapes are broadcast."""
    size = torch.minimum(first[..., 2:], second[..., 2:]) - torch.maximum(first[..., :2], second[..., :2])
    shared = size.clamp_(min=0).prod(-1)
    return shared / (area(first) + area(second) - shared + _TINY)


def area(boxes: Tensor) -> Tensor:
    """Area (...,) of boxes (..., 4), 0 for those turned inside out."""
    return (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(-1)


def _reachable(boxes: Tensor, stride: Tensor) -> Tensor:
    """The boxes, those smaller than a cell grown to one: else the smallest objects may have no cell at all."""
    middle = (boxes[..., :2] + boxes[..., 2:]) / 2
    half = torch.maximum((boxes[..., 2:] - boxes[..., :2]) / 2, stride / 2 * 1.001)
    return torch.cat([middle - half, middle + half], -1)


def _of_class(probabilities: Tensor, classes: Tensor) -> Tensor:
    """(B, M, A): each cell's probability of each object's class."""
    index = classes.clamp(min=0)[..., None].expand(-1, -1, probabilities.shape[1])
    return probabilities.transpose(1, 2).gather(1, index)


def _best(alignment: Tensor, possible: Tensor) -> Tensor:
    """Bool (B, M, A): the CELLS best aligned of each object, among the possible."""
    # What is possible and not aligned at all still comes before what is not possible.
    ranked = alignment + possible * _TINY
    top = ranked.topk(min(CELLS, ranked.shape[2]), dim=2, sorted=False).indices
    return torch.zeros_like(possible).scatter_(2, top, True) & possible


def _one_hot(classes: Tensor, count: int) -> Tensor:
    return (classes[..., None] == torch.arange(count, device=classes.device)).float()
