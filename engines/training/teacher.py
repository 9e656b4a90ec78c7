"""What a teacher finds in the pictures, as soft labels where nobody has labelled.

A teacher is any ONNX file that the service can run. Its boxes are found once, in the pictures as they are, and go
through all augmentations like labels; each asks for a probability of the teacher's score, as in soft-label
distillation (Hinton et al. 2015, arXiv:1503.02531).
"""

import hashlib
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from engines.detections import Detections
from engines.detector import Detector, open_detector
from engines.training.dataset import Dataset, Picture
from engines.training.picture_file import PictureError
from engines.training.stopping import Stopped
from streamer.errors import UsageError
from streamer.settings import DetectSettings

CONFIDENCE = 0.05  # from which a box of the teacher's is a soft label
IOU = 0.6
_SAVE_S = 60.0  # between two times that answers are written


@dataclass(frozen=True, slots=True)
class Teacher:
    """A detector file, and where its answers are kept; stop: asked after each picture whether to leave off."""

    file: Path
    folder: Path
    threads: int
    stop: Callable[[], bool] = lambda: False

    def taught(self, dataset: Dataset, tell: Callable[[int, int], None]) -> Dataset:
        """The data set with soft labels for the classes that are not labelled throughout.

        tell: called with how many pictures are done, of how many.

        Raises:
            ModelError: the file can't be run. UsageError: it has none of the classes.
            Stopped: it was left off; the next call goes on from there.
        """
        gaps = _gaps(dataset)
        if not gaps:
            return dataset
        settings = DetectSettings(model=str(self.file), confidence=CONFIDENCE, iou=IOU)
        detector = open_detector(settings, self.threads)
        try:
            numbers = _numbers(detector, dataset)
            found = self._answers(detector, gaps, tell)
        finally:
            detector.close()
        answers = {id(picture): answer for picture, answer in zip(gaps, found, strict=True)}
        pictures = [
            softened(picture, _named(answers[id(picture)], numbers), dataset.known(picture.source))
            if id(picture) in answers
            else picture
            for picture in dataset.pictures
        ]
        return replace(dataset, pictures=tuple(pictures))

    def _answers(
        self, detector: Detector, pictures: Sequence[Picture], tell: Callable[[int, int], None]
    ) -> list[Detections]:
        """In the order of `pictures`; from the cache if it holds the same teacher's for these pictures."""
        cache = self.folder / f"teacher-{detector.model.sha256[:12]}-{_digest(pictures)[:12]}.npz"
        if cache.exists():
            return _read(cache)
        part, saved = cache.with_suffix(".part.npz"), time.monotonic()
        found = _read(part) if part.exists() else []
        for number, picture in enumerate(pictures[len(found) :], len(found) + 1):
            found.append(_ask(detector, picture))
            tell(number, len(pictures))
            stopped = self.stop()
            if stopped or time.monotonic() - saved > _SAVE_S or number == len(pictures):
                _write(part, found)
                saved = time.monotonic()
            if stopped and number < len(pictures):
                raise Stopped
        part.replace(cache)
        return found


def softened(picture: Picture, found: Detections, known: frozenset[int]) -> Picture:
    """The picture with what was found as its labels in all classes but the `known`, whose own labels stay."""
    keep = np.isin(picture.classes, list(known)) | (picture.scores == 1)
    more = found[~np.isin(found.classes, list(known))]
    return replace(
        picture,
        boxes=np.concatenate([picture.boxes[keep], more.boxes]),
        classes=np.concatenate([picture.classes[keep], more.classes]),
        scores=np.concatenate([picture.scores[keep], more.scores]),
        crowd=np.concatenate([picture.crowd[keep], np.zeros(len(more), np.bool_)]),
    )


def without_pseudo(dataset: Dataset) -> Dataset:
    """The data set without the labels that some teacher gave it, where another teacher will give its own."""
    pictures = [softened(each, Detections.none(), dataset.known(each.source)) for each in dataset.pictures]
    return replace(dataset, pictures=tuple(pictures))


def widened(datasets: Sequence[Dataset]) -> list[Dataset]:
    """The data sets with the classes of all of them: those that one has not are labelled nowhere in it."""
    every = dict.fromkeys(name for dataset in datasets for name in dataset.names)
    return [_with_names(dataset, list(every)) for dataset in datasets]


def _with_names(dataset: Dataset, names: Sequence[str]) -> Dataset:
    more = tuple(name for name in names if name not in dataset.names)
    sources = {picture.source for picture in dataset.pictures}
    labelled = dict(dataset.labelled) | {source: dataset.known(source) for source in sources}
    return replace(dataset, names=dataset.names + more, labelled=labelled)


def check_gaps(datasets: Sequence[Dataset]) -> None:
    """Sees to it that there is something for a teacher to label.

    Raises:
        UsageError: all classes are labelled in all pictures.
    """
    if not any(map(_gaps, datasets)):
        raise UsageError(
            "--teacher has nothing to fill: all classes are labelled in all pictures; "
            "say by --labelled in which they aren't, or --distil dense, which asks it everywhere"
        )


def _gaps(dataset: Dataset) -> list[Picture]:
    """The pictures in which not all classes are labelled."""
    return [picture for picture in dataset.pictures if len(dataset.known(picture.source)) < len(dataset.names)]


def _digest(pictures: Sequence[Picture]) -> str:
    """SHA-256 of what the pictures hold, not of where they lie: data sets are moved, and pictures are exchanged."""
    whole = hashlib.sha256()
    for picture in pictures:
        try:
            data = picture.file.read()
        except PictureError:
            data = b""
        whole.update(hashlib.sha256(data).digest())  # its own sum first: where one picture ends must count
    return whole.hexdigest()


def _ask(detector: Detector, picture: Picture) -> Detections:
    try:
        pixels = picture.file.pixels()
    except PictureError:
        return Detections.none()  # whoever loads the pictures says so
    ordered = pixels if detector.model.colour == "RGB" else pixels[..., ::-1]
    return detector.detect_pictures([np.ascontiguousarray(ordered)])[0]


def _numbers(detector: Detector, dataset: Dataset) -> dict[int, int]:
    """The teacher's class numbers to the data set's, by name."""
    names = dataset.names
    numbers = {theirs: names.index(name) for theirs, name in enumerate(detector.model.classes) if name in names}
    if not numbers:
        raise UsageError(f"{detector.model.path} has none of the classes {', '.join(names)}: it can't teach them")
    return numbers


def _named(found: Detections, numbers: dict[int, int]) -> Detections:
    mine = found[np.isin(found.classes, list(numbers))]
    return Detections(mine.boxes, mine.scores, np.array([numbers[int(each)] for each in mine.classes], np.int64))


def _write(cache: Path, found: Sequence[Detections]) -> None:
    unfinished = cache.with_suffix(".unfinished.npz")
    np.savez(
        unfinished,
        boxes=np.concatenate([each.boxes for each in found]),
        scores=np.concatenate([each.scores for each in found]),
        classes=np.concatenate([each.classes for each in found]),
        counts=np.array([len(each) for each in found]),
    )
    unfinished.replace(cache)


def _read(cache: Path) -> list[Detections]:
    try:
        with cache.open("rb") as file, np.load(file) as arrays:
            bounds = np.cumsum(arrays["counts"])[:-1]
            parts = [np.split(arrays[key], bounds) for key in ("boxes", "scores", "classes")]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        raise UsageError(f"{cache}: damaged; delete it, and the teacher is asked again") from None
    return [Detections(*each) for each in zip(*parts, strict=True)]
