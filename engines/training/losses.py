"""How wrong the network's answer is: one number, differentiable, the mean over what is to be found."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from engines.training.assigner import Assignment, Objects, area, assign, inside
from engines.training.batches import Batch
from engines.training.network import anchors, corners, flattened

FOCUS_WEIGHT, FOCUS_POWER = 0.75, 2.0  # α and γ of the varifocal loss
BOX_WEIGHT = 2.5  # against the class loss, as in PP-YOLOE


@dataclass(frozen=True, slots=True, eq=False)
class Loss:
    """Scalars. total: what is minimised. classes, boxes: its parts, before weighting."""

    total: Tensor
    classes: Tensor
    boxes: Tensor


def varifocal(logits: Tensor, wanted: Tensor) -> Tensor:
    """Class loss of each logit, VarifocalNet (Zhang et al. 2021, arXiv:2008.13367), same shape.

    With p the probability and q the wanted one: −q·(q·log p + (1 − q)·log(1 − p)) where q > 0, else
    −α·p^γ·log(1 − p): what is found counts by how good it is, background that is obviously so hardly counts.
    """
    plain = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    focus = FOCUS_WEIGHT * logits.detach().sigmoid() ** FOCUS_POWER
    return plain * torch.where(wanted > 0, wanted, focus)


def giou(first: Tensor, second: Tensor) -> Tensor:
    """Generalised IoU (...,) of boxes (..., 4), −1 to 1 (Rezatofighi et al. 2019, arXiv:1902.09630).

    IoU − (hull − union) / hull, hull the smallest box around both.
    """
    low, high = torch.maximum(first[..., :2], second[..., :2]), torch.minimum(first[..., 2:], second[..., 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    union = area(first) + area(second) - shared
    span = torch.maximum(first[..., 2:], second[..., 2:]) - torch.minimum(first[..., :2], second[..., :2])
    hull = span.prod(-1)
    return shared / union.clamp(min=1e-6) - (hull - union) / hull.clamp(min=1e-6)


def detection_loss(levels: Sequence[Tensor], batch: Batch, absence: float = 0.0) -> Loss:
    """The loss of a batch: Σ varifocal + BOX_WEIGHT · Σ w·(1 − GIoU), both divided by Σ w of all cells.

    levels: the network's answer, see Network.forward.
    absence: 0 to 1, how far a class counts as absent where it is neither known to be so nor labelled: 0 without a
        teacher; with one, whatever it has not found there is probably not there.
    """
    answer = flattened(levels).float()
    centres, strides = anchors(levels)
    logits = answer[:, 4:].transpose(1, 2)
    boxes = corners(answer[:, :4], centres, strides)
    there = (batch.classes >= 0) & ~batch.ignore
    objects = Objects(batch.boxes, batch.classes, batch.scores, there)
    with torch.no_grad():
        target = assign(logits.sigmoid(), boxes, centres, strides, objects)
        counts = class_weights(target, batch, centres, absence)
    samples = target.weights.sum().clamp(min=1.0)
    classes = (varifocal(logits, target.classes) * counts).sum() / samples
    found = ((1 - giou(boxes, target.boxes)) * target.weights).sum() / samples
    return Loss(classes + BOX_WEIGHT * found, classes, found)


def class_weights(target: Assignment, batch: Batch, centres: Tensor, absence: float) -> Tensor:
    """Float32 (B, A, C), how much each cell's answer for each class counts.

    1 where the class is wanted, or its absence is certain; `absence` where it is not; 0 in what is to be ignored.
    """
    count = target.classes.shape[2]
    weights = torch.where(uncertain(batch, centres), absence, 1.0)
    kinds = batch.classes[..., None] == torch.arange(count, device=centres.device)
    unclear = (kinds & batch.ignore[..., None]).float()  # (B, M, C)
    ignored = torch.einsum("bma,bmc->bac", inside(centres, batch.boxes).float(), unclear) > 0
    weights = weights * ~ignored
    return torch.where(target.classes > 0, 1.0, weights)


def uncertain(batch: Batch, places: Tensor) -> Tensor:
    """Bool (B, A, C): where a class is not labelled throughout, its absence says nothing. places: see of_parts."""
    return of_parts(batch, places, ~batch.known)


def of_parts(batch: Batch, places: Tensor, said: Tensor) -> Tensor:
    """Bool (B, A, N): what is said of the part of the input that a place is in, bool (B, T, N).

    places: (A, 2), or (B, A, 2) where they differ from input to input; pixels.
    """
    tiles = inside(places, batch.tiles).float()  # (B, T, A)
    return torch.einsum("bta,btn->ban", tiles, said.float()) > 0
