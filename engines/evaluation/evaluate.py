"""How much of a data set models find, and what a picture costs them, side by side."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from engines.evaluation.average_precision import ClassScore, Threshold, best_threshold, pycocotools, score
from engines.evaluation.candidate import Candidate
from engines.evaluation.pixels import pixels
from engines.training.picture_file import PictureError
from streamer.errors import UsageError

if TYPE_CHECKING:
    from engines.training.dataset import Dataset, Picture

TIMED = 100
"""Pictures whose time is taken; the median of so many moves by 1 % from run to run."""


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """What a model is worth on a data set.

    AP, AP50, per_class: see Scores. pictures: how many were looked at.
    cpu_ms_per_picture: milliseconds from decoded picture to boxes at the service's thresholds: letterbox, network,
        NMS; the median; nan if none was timed.
    model, sha256, engine: what was evaluated, and in what.
    threshold: the least score that balances misses and wrong boxes best, None where nothing is found.
    notes: what one should know of these figures, a line each.
    """

    AP: float
    AP50: float
    per_class: Mapping[str, ClassScore]
    cpu_ms_per_picture: float
    pictures: int
    model: str
    sha256: str
    engine: str
    threshold: Threshold | None
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As plain data; figures that don't exist, of classes that aren't labelled, are None."""
        return {
            "model": self.model,
            "sha256": self.sha256,
            "engine": self.engine,
            "pictures": self.pictures,
            "AP": _figure(self.AP),
            "AP50": _figure(self.AP50),
            "per_class": {
                name: {"AP": _figure(each.AP), "AP50": _figure(each.AP50), "objects": each.objects}
                for name, each in self.per_class.items()
            },
            "F1": self.threshold and _figure(self.threshold.F1),
            "confidence": self.threshold and _figure(self.threshold.confidence),
            "cpu_ms_per_picture": _figure(self.cpu_ms_per_picture),
            "notes": list(self.notes),
        }


def evaluate(
    candidates: Sequence[Candidate],
    dataset: "Dataset",
    one_more: Callable[[], None] = lambda: None,
    timed: int = TIMED,
) -> list[Evaluation]:
    """Shows every picture to all candidates in turn, so that their times were taken under the same conditions.

    one_more: called after each picture. timed: how many, the first ones, are timed. Pictures that turn out damaged
    are left out, with a note.

    Raises:
        UsageError: no picture can be decoded, or pycocotools is not installed.
    """
    pycocotools()  # said before the work, not behind it
    seen: list[Picture] = []
    damaged: list[str] = []
    for picture in dataset.pictures:
        try:
            _show(picture, candidates if len(seen) % 2 else candidates[::-1], timed=len(seen) < timed)
            seen.append(picture)
        except PictureError as error:
            damaged.append(f"{picture.path} {error}: left out")
        one_more()
    if not seen:
        raise UsageError(f"no picture can be decoded: {damaged[0]}")
    return [_evaluation(candidate, replace(dataset, pictures=tuple(seen)), damaged) for candidate in candidates]


def _show(picture: "Picture", candidates: Sequence[Candidate], timed: bool) -> None:
    size = picture.width, picture.height
    views = [pixels(picture, candidate.detector) for candidate in candidates]
    for candidate, view in zip(candidates, views, strict=True):
        candidate.look(view, size)
        if timed:  # behind a look, so that its weights are in the cache as they are in a busy worker
            candidate.take_time(view, size)


def _evaluation(candidate: Candidate, dataset: "Dataset", damaged: Sequence[str]) -> Evaluation:
    scores = score(candidate.found, dataset)
    engine, model = candidate.detector.engine, candidate.detector.model
    return Evaluation(
        scores.AP,
        scores.AP50,
        scores.per_class,
        candidate.cpu_ms_per_picture,
        len(dataset.pictures),
        str(model.path),
        model.sha256,
        f"{engine.name} {engine.version}",
        best_threshold(scores.per_class.values()),
        (*candidate.shared.notes, *damaged),
    )


def _figure(value: float) -> float | None:
    return None if np.isnan(value) else round(value, 4)
