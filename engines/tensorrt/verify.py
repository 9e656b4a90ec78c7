"""Whether two engines find the same boxes in the same pictures."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from engines.detections import Detections
from engines.detector import Detector, open_detector
from engines.engine import Engine
from engines.jpeg import decode_scaled, jpeg_size
from engines.jpeg_detector import Damaged, Frame, JpegDetector, JpegEngine
from streamer.errors import UsageError
from streamer.settings import DetectSettings

_SUFFIXES = (".jpg", ".jpeg", ".png")
_BORDERLINE = 0.05  # of score: a box as near to the threshold may be on either side of it


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """One picture. overlaps, scores: of each box, with the best one of its class of the other engine; 0 if none.

    scores: how far apart they are. expected, found: how many boxes the reference and the engine have.
    """

    name: str
    expected: int
    found: int
    overlaps: NDArray[np.float32]
    scores: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Verification:
    """All pictures. engine, reference: their names and versions."""

    engine: str
    reference: str
    pictures: tuple[Compared, ...]

    def agree(self, iou: float) -> bool:
        """Whether every box has one of the other engine that overlaps it so much."""
        return all((each.overlaps >= iou).all() for each in self.pictures)

    def as_text(self, iou: float) -> str:
        """A line per picture with a difference, and what it all comes to."""
        overlaps = np.concatenate([each.overlaps for each in self.pictures])
        scores = np.concatenate([each.scores for each in self.pictures])
        lines = [_line(each, iou) for each in self.pictures if (each.overlaps < iou).any()]
        least = f"{overlaps.min(initial=1):.4f}"
        return "\n".join(
            [
                *lines,
                f"{self.engine} against {self.reference}: {len(self.pictures)} pictures, {overlaps.size} boxes, "
                f"{int((overlaps >= iou).sum())} alike at IoU {iou}; least IoU {least}, "
                f"scores apart by {scores.mean() if scores.size else 0:.5f} in the mean, "
                f"{scores.max(initial=0):.5f} at most",
            ]
        )


def _line(each: Compared, iou: float) -> str:
    worst = float(each.overlaps.min())
    return (
        f"{each.name}: {each.found} boxes, expected {each.expected}; "
        f"{int((each.overlaps < iou).sum())} without their like (least IoU {worst:.4f})"
    )


class Finder(Protocol):
    """One of the two that are compared. engine: what runs its network."""

    engine: Engine

    def find(self, file: Path) -> Detections:
        """What is in a picture.

        Raises:
            UsageError: it can't be read.
        """

    def close(self) -> None:
        """Lets the engine go."""


class _Pictures:
    """Decoded by OpenCV, so that only what comes behind is compared."""

    def __init__(self, detector: Detector) -> None:
        self.engine, self.close = detector.engine, detector.close
        self._detector = detector

    def find(self, file: Path) -> Detections:
        picture = cv2.imread(str(file), cv2.IMREAD_COLOR)
        if picture is None:
            raise UsageError(f"{file}: it can't be read as a picture")
        wanted = picture if self._detector.model.colour == "BGR" else np.ascontiguousarray(picture[:, :, ::-1])
        return self._detector.detect_pictures([wanted])[0]


class _CpuWorker(_Pictures):
    """JPEGs as a worker on a CPU takes them."""

    def find(self, file: Path) -> Detections:
        jpeg, detector = _jpeg(file), self._detector
        size = jpeg_size(jpeg)
        try:
            picture = decode_scaled(jpeg, size, detector.wanted_size(*size), detector.model.colour)
        except ValueError as error:
            raise UsageError(f"{file}: {error}") from None
        batch = detector.new_batch(1)
        return detector.detect(batch, [detector.prepare(picture, size, batch[0])])[0]


class _GpuWorker:
    """JPEGs as a worker on a GPU takes them: nothing but boxes comes back."""

    def __init__(self, detector: JpegDetector) -> None:
        self.engine, self.close = detector.engine, detector.close
        self._detector = detector

    def find(self, file: Path) -> Detections:
        jpeg = _jpeg(file)
        self._detector.start([Frame(jpeg, *jpeg_size(jpeg))])
        [found] = self._detector.finish()
        if isinstance(found, Damaged):
            raise UsageError(f"{file}: {found.reason}")
        return found


def _jpeg(file: Path) -> bytes:
    """The file as it is, or its picture as a JPEG."""
    content = file.read_bytes()
    try:
        jpeg_size(content)
    except ValueError:
        picture = cv2.imread(str(file), cv2.IMREAD_COLOR)
        if picture is None:
            raise UsageError(f"{file}: it can't be read as a picture") from None
        content = simplejpeg.encode_jpeg(picture, 95, "BGR")
    return content


def _whole(detector: Detector) -> Finder:
    """From JPEGs on, by the engine itself if it can."""
    engine = detector.engine
    on_gpu = engine.jpeg_detector(detector) if isinstance(engine, JpegEngine) else None
    return _GpuWorker(on_gpu) if on_gpu else _CpuWorker(detector)


def verify(
    settings: DetectSettings, engine: str, reference: str, pictures: Sequence[Path], whole: bool = False
) -> Verification:
    """Runs the model of the settings in both.

    pictures: files and folders of them. whole: with all that a worker does from the JPEG on, else the network only.

    Raises:
        UsageError: there are no pictures or nothing is found in them, or there is no such engine here.
        ModelError: an engine can't run the model.
    """
    files = list(_files(pictures))
    if not files:
        raise UsageError(f"no JPEG or PNG files in {', '.join(map(str, pictures))}")
    # The engine first: where it can't be, nobody waits for the other one.
    finder = _whole if whole else _Pictures
    detectors = [open_detector(settings.model_copy(update={"engine": name}), 1) for name in (engine, reference)]
    opened = [finder(detector) for detector in detectors]
    try:
        found = tuple(_compared(file, opened[0], opened[1], detectors[0].model.confidence) for file in files)
        names = [f"{one.engine.name} {one.engine.version}{_way(one)}" for one in opened]
    finally:
        for one in opened:
            one.close()
    if not any(each.expected or each.found for each in found):
        raise UsageError("nothing is found in these pictures, which says nothing of the engines; name others")
    return Verification(names[0], names[1], found)


def _files(given: Sequence[Path]) -> Iterator[Path]:
    for path in given:
        if path.is_dir():
            yield from sorted(each for each in path.iterdir() if each.suffix.lower() in _SUFFIXES)
        elif path.is_file():
            yield path
        else:
            raise UsageError(f"{path}: no such file or folder")


def _way(one: Finder) -> str:
    return {_GpuWorker: ", all on the GPU", _CpuWorker: ", from JPEGs on the CPU"}.get(type(one), "")


def _compared(file: Path, finder: Finder, reference: Finder, confidence: float) -> Compared:
    found, expected = finder.find(file), reference.find(file)
    pairs = [_nearest(expected, found, confidence), _nearest(found, expected, confidence)]
    overlaps, scores = (np.concatenate(each) for each in zip(*pairs, strict=True))
    return Compared(file.name, len(expected), len(found), overlaps, scores)


def _nearest(
    these: Detections, those: Detections, confidence: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Overlap of each of these with the best of its class among those, and how far their scores are apart.

    Without a partner, boxes that only just reach the threshold are left out: a hair decides about them.
    """
    overlaps, apart = [], []
    for box, score, kind in zip(these.boxes, these.scores, these.classes, strict=True):
        others = those[those.classes == kind]
        ratios = _overlaps(box, others.boxes)
        best = int(ratios.argmax()) if len(ratios) else -1
        if best >= 0 and ratios[best] > 0.5:
            overlaps.append(ratios[best])
            apart.append(abs(score - others.scores[best]))
        elif score > confidence + _BORDERLINE:
            overlaps.append(0.0)
    return np.array(overlaps, np.float32), np.array(apart, np.float32)


def _overlaps(box: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """IoU of a box with each of (N, 4)."""
    sides = np.maximum(np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2]), 0)
    both = sides.prod(axis=1)
    areas = (others[:, 2:] - others[:, :2]).prod(axis=1) + (box[2:] - box[:2]).prod()
    ratios: NDArray[np.float32] = both / np.maximum(areas - both, np.float32(1e-9))
    return ratios
