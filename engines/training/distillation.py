"""What a teacher says of every cell of an augmented batch, and how far its pupil is from that.

A label says something about ten cells of an object; a teacher about all of them, about what it took an object for that
is not labelled, and about what things look like that no class is for. Cells match where both work at strides 8, 16
and 32, as YOLOX does.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engines.training.batches import Batch
from engines.training.losses import BOX_WEIGHT, giou, of_parts, uncertain
from engines.training.network import STRIDES, Network, anchors, corners, flattened
from engines.training.teacher_network import TeacherNetwork
from streamer.errors import ModelError

FEATURE_WEIGHT = 8.0  # against the class loss
_LABELLED = 0.5  # how much the teacher's word counts for a class that is labelled throughout
_EPSILON = 1e-6
_CELLS = (0, 2, 3)  # of a batch: all axes but the channels

Features = Sequence[tuple[Tensor, Tensor]]
"""Of the pupil, see Network.features."""


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """A teacher's answer for a batch, of the same A cells as the pupil's.

    boxes: float32 (B, A, 4), pixels. probabilities: float32 (B, A, shared classes).
    features: one (B, C, H, W) per stride, fine to coarse.
    """

    boxes: Tensor
    probabilities: Tensor
    features: list[Tensor]


class Distillation(nn.Module):
    """The loss of a pupil against its teacher. Its parameters translate features, and are learnt with the pupil's.

    Raises:
        ModelError: the teacher doesn't have the pupil's cells.
    """

    def __init__(self, teacher: TeacherNetwork, pupil: Network) -> None:
        super().__init__()
        if teacher.layout != "yolox":
            raise ModelError(
                f"a teacher of layout {teacher.layout} can't be asked about every cell: --distil live, or a YOLOX file"
            )
        self._teacher = teacher
        device = next(pupil.parameters()).device
        side = STRIDES[-1] * 2
        wanted = self.lesson(torch.zeros(1, 3, side, side, device=device)).features
        self.translators = nn.ModuleList(nn.Conv2d(2 * pupil.config.head, each.shape[1], 1) for each in wanted)

    def lesson(self, images: Tensor) -> Lesson:
        """What the teacher says of (B, 3, S, S)."""
        size = images.shape[2], images.shape[3]
        boxes, probabilities, features = self._teacher.look(images, size)
        levels = [[each for each in features if each.shape[3] == size[1] // stride] for stride in STRIDES]
        return Lesson(boxes, probabilities, [torch.cat(level, 1).float() for level in levels])

    def forward(self, features: Features, levels: Sequence[Tensor], batch: Batch, lesson: Lesson) -> Tensor:
        """Scalar. features, levels: the pupil's for the batch."""
        translated = [
            translate(torch.cat(pair, 1).float()) for translate, pair in zip(self.translators, features, strict=True)
        ]
        resemblance = torch.stack(
            [unlikeness(mine, its) for mine, its in zip(translated, lesson.features, strict=True)]
        ).mean()
        return cell_loss(levels, batch, lesson, self._teacher.classes) + FEATURE_WEIGHT * resemblance


def cell_loss(levels: Sequence[Tensor], batch: Batch, lesson: Lesson, classes: Tensor) -> Tensor:
    """Σ |p − q| · divergence + BOX_WEIGHT · Σ q · (1 − GIoU) against the teacher's boxes, both divided by Σ q.

    q: the teacher's largest probability in a cell. What is labelled throughout counts _LABELLED, and what it doesn't
    know not at all.
    classes: int64, the pupil's numbers of the teacher's.
    """
    answer = flattened(levels).float()
    centres, strides = anchors(levels)
    logits = answer[:, 4:].transpose(1, 2)[..., classes]
    weights = torch.where(uncertain(batch, centres)[..., classes], 1.0, _LABELLED)
    weights = weights.masked_fill(of_parts(batch, centres, ~batch.taught[..., None]), 0.0)
    there = (lesson.probabilities * weights).amax(2)
    overlap = giou(corners(answer[:, :4], centres, strides), lesson.boxes)
    # As in the class loss, what is nearly right already hardly counts: most cells are obvious background.
    focus = weights * (logits.detach().sigmoid() - lesson.probabilities).abs()
    total = (divergence(logits, lesson.probabilities) * focus).sum() + BOX_WEIGHT * ((1 - overlap) * there).sum()
    return total / there.sum().clamp(min=1.0)


def divergence(logits: Tensor, wanted: Tensor) -> Tensor:
    """Kullback-Leibler divergence of each logit's probability p from the wanted q, same shape; 0 where p = q.

    q·log(q / p) + (1 − q)·log((1 − q) / (1 − p)) (Hinton et al. 2015, arXiv:1503.02531, for two outcomes).
    """
    wanted = wanted.clamp(_EPSILON, 1 - _EPSILON)
    crossed = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    return crossed - F.binary_cross_entropy(wanted, wanted, reduction="none")


def unlikeness(mine: Tensor, its: Tensor) -> Tensor:
    """1 − Pearson's correlation of features (B, C, H, W), channel by channel, the mean: 0 to 2.

    Neither scale nor offset matters, which networks of other kinds don't share (PKD, Cao et al. 2022,
    arXiv:2207.02039).
    """
    mine, its = (each - each.mean(_CELLS, keepdim=True) for each in (mine, its))
    lengths = torch.linalg.vector_norm(mine, dim=_CELLS) * torch.linalg.vector_norm(its, dim=_CELLS)
    return 1 - ((mine * its).sum(_CELLS) / lengths.clamp(min=_EPSILON)).mean()
