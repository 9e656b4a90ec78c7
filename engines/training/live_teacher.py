"""A teacher that looks at every augmented batch itself, on the device where the pupil learns.

Against boxes found once in the pictures as they are (`teacher`): it sees what the pupil sees, small, cut off, pasted,
blurred, and asks no more of it than it finds there itself. Costs a run of the teacher per step: for GPUs.
"""

from dataclasses import replace

import torch
from torch import Tensor

from engines.training.assigner import iou
from engines.training.batches import Batch
from engines.training.losses import uncertain
from engines.training.teacher import CONFIDENCE, IOU
from engines.training.teacher_network import TeacherNetwork

MOST = 64  # boxes of a picture that count
_CANDIDATES = 384  # that they are chosen from, as one object has several
_ROUNDS = 5  # of suppression; chains of more overlapping boxes are rare
_LABELLED = 0.5  # IoU with a hand label from which a box says nothing new


class LiveTeacher:
    """Adds what a detector finds to batches, where nobody has labelled."""

    def __init__(self, teacher: TeacherNetwork) -> None:
        self._teacher = teacher

    def taught(self, batch: Batch) -> Batch:
        """The batch with MOST more places for objects: the teacher's boxes of classes that aren't known there."""
        boxes, scores, classes = self.find(batch.images)
        keep = (scores >= CONFIDENCE) & _uncertain(batch, boxes, classes)
        hand = (batch.classes >= 0) & (batch.scores == 1)
        told = (iou(boxes[:, :, None], batch.boxes[:, None]) * hand[:, None]).amax(2, keepdim=False) > _LABELLED
        classes = torch.where(keep & ~told, classes, -1)
        return replace(
            batch,
            boxes=torch.cat([batch.boxes, boxes], 1),
            classes=torch.cat([batch.classes, classes], 1),
            scores=torch.cat([batch.scores, scores], 1),
            ignore=torch.cat([batch.ignore, torch.zeros_like(classes, dtype=torch.bool)], 1),
        )

    def find(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What it finds in (B, 3, S, S): boxes (B, MOST, 4) in pixels, scores and classes (B, MOST), the pupil's.

        What a better box of the same class covers has score 0.
        """
        teacher = self._teacher
        boxes, probabilities, _ = teacher.look(images, teacher.size)
        scores, kinds = probabilities.max(2)
        boxes, scores, kinds = _best(boxes, scores, kinds, _CANDIDATES)
        boxes, scores, kinds = _best(boxes, scores * ~_covered(boxes, kinds), kinds, MOST)
        return boxes, scores, teacher.classes[kinds]


def _best(boxes: Tensor, scores: Tensor, kinds: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """The most confident of each picture, in order."""
    scores, order = scores.topk(min(count, scores.shape[1]), 1)
    return boxes.gather(1, order[..., None].expand(-1, -1, 4)), scores, kinds.gather(1, order)


def _uncertain(batch: Batch, boxes: Tensor, classes: Tensor) -> Tensor:
    """Bool (B, N): whether a box's class is not labelled throughout in the part of the input where its middle is."""
    middles = (boxes[..., :2] + boxes[..., 2:]) / 2
    return uncertain(batch, middles).gather(2, classes[..., None])[..., 0]


def _covered(boxes: Tensor, classes: Tensor) -> Tensor:
    """Bool (B, N): whether a box that stays comes before this one, is of its class, and overlaps it by more than IOU.

    Cluster NMS (Zheng et al. 2020, arXiv:2005.03572): a few rounds over all boxes at once come to what the greedy
    method finds one by one, without waiting for the device.
    """
    rivals = (iou(boxes[:, :, None], boxes[:, None]) > IOU) & (classes[:, :, None] == classes[:, None])
    rivals = rivals.triu(1)
    covered = torch.zeros_like(classes, dtype=torch.bool)
    for _ in range(_ROUNDS):
        covered = (rivals & ~covered[:, :, None]).any(1)
    return covered
