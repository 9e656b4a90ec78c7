"""What the network finds in pictures that it does not learn from, through the same Detector as the worker's."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from engines.detections import Detections
from engines.detector import Detector, Selection
from engines.engine import InputSpec
from engines.heads.head import Head, Thresholds
from engines.heads.yolov8 import YoloV8Head
from engines.model import ModelInfo
from engines.training.batches import Batches
from engines.training.dataset import Dataset, Picture
from engines.training.network import Network
from engines.training.picture_file import PictureError

IOU = 0.5
"""Overlap beyond which boxes of a class are one: what a training's epochs are measured with, and exported files say."""

_CONFIDENCE, _MOST = 0.01, 100
_BATCH = 16


class TorchEngine:
    """A network that is being trained, as an Engine. See there."""

    name = "torch"

    def __init__(self, network: Network, size: int, device: torch.device) -> None:
        self.version: str = torch.__version__
        self.input = InputSpec(size, size, _BATCH, False, np.dtype(np.float32))
        self._network = network
        self._device = device

    def infer(self, batch: NDArray[Any]) -> list[NDArray[Any]]:
        """See Engine."""
        with torch.inference_mode():
            images = torch.from_numpy(batch).to(self._device).contiguous(memory_format=torch.channels_last)
            found: NDArray[Any] = self._network.eval_outputs(images).float().cpu().numpy()
        return [found]

    def close(self) -> None:
        """See Engine."""


def detector_of(network: Network, names: Sequence[str], size: int, device: torch.device) -> Detector:
    """The network, in eval mode, behind the worker's letterbox, head and NMS; it is not copied."""
    model = ModelInfo(
        path=Path("network"),
        sha256="",
        width=size,
        height=size,
        classes=tuple(names),
        head=YoloV8Head.name,
        reason="our own",
        padding="centre",
        colour="RGB",
        factor=1 / 255,
        named_by="file",
        iou=IOU,
    )
    selection = Selection(Thresholds.of([_CONFIDENCE] * len(names)), model.iou, False, _MOST)
    head = cast(Head, YoloV8Head(len(names)))
    return Detector(model, TorchEngine(network, size, device), head, selection)


def predict(network: Network, names: Sequence[str], size: int, dataset: Dataset) -> list[Detections]:
    """What the network, in eval mode, finds in each of the data set's pictures, in its pixels and by its classes.

    names: of the network's classes. size: side of its input.
    """
    device = next(network.parameters()).device
    detector = detector_of(network, names, size, device)
    found: list[Detections] = []
    for start in range(0, len(dataset.pictures), _BATCH):
        pictures = [_pixels(picture) for picture in dataset.pictures[start : start + _BATCH]]
        found += detector.detect_pictures(pictures)
    if tuple(names) == dataset.names:
        return found
    return [_renumbered(each, names, dataset.names) for each in found]


def doubts(dataset: Dataset, split: str, learnt: Batches) -> list[str]:
    """Why figures on the data set say less than it seems, one line each."""
    labelled = {dataset.names[number] for picture in dataset.pictures for number in picture.classes}
    unknown = sorted(labelled - set(learnt.names))
    missing = [name for name in learnt.names if name not in dataset.names]
    lines = [f"{split}: {name} isn't learnt: it counts as never found" for name in unknown]
    lines += [f"{split}: has no class {name}: it isn't measured" for name in missing]
    both = len(_places(dataset.pictures) & _places(learnt.pictures))
    if both:
        of = len(dataset.pictures)
        lines.append(f"{split}: {both} of its {of} pictures are learnt from, too: its figures flatter")
    return lines


def _places(pictures: Sequence[Picture]) -> set[tuple[Path, int]]:
    return {(picture.file.path.resolve(), picture.file.offset) for picture in pictures}


def _pixels(picture: Picture) -> NDArray[np.uint8]:
    try:
        pixels: NDArray[np.uint8] = picture.file.pixels()
    except PictureError:
        return np.zeros((picture.height, picture.width, 3), np.uint8)  # nothing is found in it
    return pixels


def _renumbered(found: Detections, names: Sequence[str], wanted: Sequence[str]) -> Detections:
    """By the other's class numbers; classes that it doesn't have are left out."""
    table = np.array([wanted.index(name) if name in wanted else -1 for name in names], np.int64)
    classes = table[found.classes]
    return Detections(found.boxes, found.scores, classes)[classes >= 0]
