"""A detector file beside its pupil: what it finds in a batch, cell by cell, before any suppression."""

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from engines.detector import open_detector
from engines.model import ModelInfo
from engines.training.onnx_network import OnnxNetwork
from streamer.errors import ModelError, UsageError
from streamer.settings import DetectSettings

LAYOUTS = ("yolov5", "yolov8", "yolox")
_STRIDES = (8, 16, 32)


class TeacherNetwork:
    """A teacher on the device where the pupil learns.

    Args:
        file: ONNX, in one of LAYOUTS.
        names: of the pupil's classes. device: where the batches are.

    layout: of its output. size: height and width in pixels that the file was made for.
    classes: the pupil's numbers of the classes that both have.

    Raises:
        ModelError: the file can't be run here. UsageError: it has none of the classes.
    """

    def __init__(self, file: Path, names: Sequence[str], device: torch.device) -> None:
        # Opened as the service does, which finds out what its outputs mean.
        detector = open_detector(DetectSettings(model=str(file)), threads=1)
        self._model: ModelInfo = detector.model
        detector.close()
        self.layout, self.size = self._model.head, (self._model.height, self._model.width)
        if self.layout not in LAYOUTS:
            raise ModelError(f"{file}: a teacher of layout {self.layout} is run once only: --distil once")
        shared = [name for name in self._model.classes if name in names]
        if not shared:
            raise UsageError(f"{file} has none of the classes {', '.join(names)}: it can't teach them")
        self._theirs = [self._model.classes.index(name) for name in shared]
        self.classes = torch.tensor([list(names).index(name) for name in shared], device=device)
        self._network = OnnxNetwork(file, device)

    def look(self, images: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor, list[Tensor]]:
        """What it makes of images (B, 3, S, S), RGB 0 to 1, shown to it in `size`, height and width.

        Returns its boxes float32 (B, N, 4), left, top, right, bottom in pixels of the images; probabilities float32
        (B, N, shared classes); and the features that its last convolutions read, (B, C, H, W) each.
        """
        given = images.flip(1) if self._model.colour == "BGR" else images
        if size != images.shape[2:]:
            given = F.interpolate(given, size, mode="bilinear", antialias=False)
        # Half precision, not bf16: coordinates of hundreds of pixels are among what it computes.
        with torch.autocast("cuda", torch.float16, enabled=images.device.type == "cuda"):
            given = (given * (255 * self._model.factor)).contiguous(memory_format=torch.channels_last)
            [answer], features = self._network.with_features(given)
        boxes, probabilities = self._read(answer.float(), size)
        height, width = size
        scale = boxes.new_tensor([1 / width, 1 / height] * 2) * images.shape[-1]
        return boxes * scale, probabilities[..., self._theirs], features

    def _read(self, answer: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Boxes (B, N, 4) left, top, right, bottom in its pixels, and probabilities (B, N, classes)."""
        if self.layout == "yolov8":
            answer = answer.transpose(1, 2)
            return _corners(answer[..., :4]), answer[..., 4:]
        if self.layout == "yolox":
            answer = _placed(answer, size)
        return _corners(answer[..., :4]), answer[..., 4:5] * answer[..., 5:]


def _corners(centred: Tensor) -> Tensor:
    half = centred[..., 2:] / 2
    return torch.cat([centred[..., :2] - half, centred[..., :2] + half], -1)


def _placed(answer: Tensor, size: tuple[int, int]) -> Tensor:
    """YOLOX's raw answer (B, N, 5 + classes) with boxes in pixels: cells plus offsets, exponentials of sizes."""
    parts = []
    for stride in _STRIDES:
        rows, columns = (torch.arange(side // stride, device=answer.device) for side in size)
        y, x = torch.meshgrid(rows, columns, indexing="ij")
        cells = torch.stack([x, y, torch.full_like(x, stride)], -1).reshape(-1, 3)
        parts.append(cells.float())
    grid = torch.cat(parts)
    middles = (answer[..., :2] + grid[:, :2]) * grid[:, 2:]
    return torch.cat([middles, answer[..., 2:4].exp() * grid[:, 2:], answer[..., 4:]], -1)
