"""A teacher that looks at every augmented batch itself, on the device where the pupil learns.

Against boxes found once in the pictures as they are (`teacher`): it sees what the pupil sees, small, cut off, pasted,
blurred, and asks no more of it than it finds there itself. Costs a run of the teacher per step: for GPUs.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from engines.detector import open_detector
from engines.model import ModelInfo
from engines.training.assigner import inside, iou
from engines.training.batches import Batch
from engines.training.onnx_network import OnnxNetwork
from engines.training.teacher import CONFIDENCE, IOU
from streamer.errors import ModelError, UsageError
from streamer.settings import DetectSettings

MOST = 64  # boxes of a picture that count
_CANDIDATES = 384  # that they are chosen from, as one object has several
_ROUNDS = 5  # of suppression; chains of more overlapping boxes are rare
_LABELLED = 0.5  # IoU with a hand label from which a box says nothing new


class LiveTeacher:
    """Adds what a detector finds to batches, where nobody has labelled.

    Args:
        file: ONNX, in the layout of YOLOv5, YOLOv8 or YOLOX.
        names: of the pupil's classes. device: where the batches are.

    Raises:
        ModelError: the file can't be run here. UsageError: it has none of the classes.
    """

    def __init__(self, file: Path, names: Sequence[str], device: torch.device) -> None:
        # Opened as the service does, which finds out what its outputs mean.
        detector = open_detector(DetectSettings(model=str(file)), threads=1)
        self._model: ModelInfo = detector.model
        detector.close()
        if self._model.head not in ("yolov5", "yolov8", "yolox"):
            raise ModelError(f"{file}: a teacher of layout {self._model.head} is run once only: --distil once")
        shared = [name for name in self._model.classes if name in names]
        if not shared:
            raise UsageError(f"{file} has none of the classes {', '.join(names)}: it can't teach them")
        self._theirs = [self._model.classes.index(name) for name in shared]
        self._mine = torch.tensor([list(names).index(name) for name in shared], device=device)
        self._network = OnnxNetwork(file, device)

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
        model, side = self._model, images.shape[-1]
        given = F.interpolate(images, (model.height, model.width), mode="bilinear", antialias=False)
        given = given.flip(1) if model.colour == "BGR" else given
        # Half precision, not bf16: coordinates of hundreds of pixels are among what it computes.
        with torch.autocast("cuda", torch.float16, enabled=images.device.type == "cuda"):
            [answer] = self._network((given * (255 * model.factor)).contiguous(memory_format=torch.channels_last))
        boxes, probabilities = self._read(answer.float())
        scores, kinds = probabilities[..., self._theirs].max(2)
        boxes, scores, kinds = _best(boxes, scores, kinds, _CANDIDATES)
        boxes, scores, kinds = _best(boxes, scores * ~_covered(boxes, kinds), kinds, MOST)
        return boxes * (side / model.width), scores, self._mine[kinds]

    def _read(self, answer: Tensor) -> tuple[Tensor, Tensor]:
        """Boxes (B, N, 4) left, top, right, bottom in its pixels, and probabilities (B, N, classes)."""
        if self._model.head == "yolov8":
            answer = answer.transpose(1, 2)
            return _corners(answer[..., :4]), answer[..., 4:]
        if self._model.head == "yolox":
            answer = _placed(answer, self._model.width, self._model.height)
        return _corners(answer[..., :4]), answer[..., 4:5] * answer[..., 5:]


def _best(boxes: Tensor, scores: Tensor, kinds: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """The most confident of each picture, in order."""
    scores, order = scores.topk(min(count, scores.shape[1]), 1)
    return boxes.gather(1, order[..., None].expand(-1, -1, 4)), scores, kinds.gather(1, order)


def _uncertain(batch: Batch, boxes: Tensor, classes: Tensor) -> Tensor:
    """Bool (B, N): whether a box's class is not labelled throughout in the part of the input where its middle is."""
    middles = (boxes[..., :2] + boxes[..., 2:]) / 2
    unknown = torch.einsum("btn,btc->bnc", inside(middles, batch.tiles).float(), (~batch.known).float())
    return unknown.gather(2, classes[..., None])[..., 0] > 0


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


def _corners(centred: Tensor) -> Tensor:
    half = centred[..., 2:] / 2
    return torch.cat([centred[..., :2] - half, centred[..., :2] + half], -1)


def _placed(answer: Tensor, width: int, height: int) -> Tensor:
    """YOLOX's raw answer (B, N, 5 + classes) with boxes in pixels: cells plus offsets, exponentials of sizes."""
    parts = []
    for stride in (8, 16, 32):
        y, x = torch.meshgrid(
            torch.arange(height // stride, device=answer.device),
            torch.arange(width // stride, device=answer.device),
            indexing="ij",
        )
        cells = torch.stack([x, y, torch.full_like(x, stride)], -1).reshape(-1, 3)
        parts.append(cells.float())
    grid = torch.cat(parts)
    middles = (answer[..., :2] + grid[:, :2]) * grid[:, 2:]
    return torch.cat([middles, answer[..., 2:4].exp() * grid[:, 2:], answer[..., 4:]], -1)
