"""How often a classifier is right, and what a picture costs it."""

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
from numpy.typing import NDArray

from engines.classifier import Classifier
from engines.evaluation.confusion import Confusion, confusion, per_class, rows
from engines.evaluation.evaluate import TIMED
from engines.training.picture_file import PictureError, PictureFile
from streamer.errors import UsageError

if TYPE_CHECKING:
    from engines.training.classify.folders import ClassFolders

_COLUMN, _NAME = 12, 20  # characters


@dataclass(frozen=True, slots=True, eq=False)
class Classification:
    """What a classifier is worth on folders of pictures.

    cpu_ms_per_picture: milliseconds from decoded picture to probabilities, the median; nan if none was timed.
    notes: what one should know of these figures, a line each.
    """

    confusion: Confusion
    cpu_ms_per_picture: float
    model: str
    sha256: str
    engine: str
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As plain data; figures that don't exist are None."""
        found = self.confusion
        return {
            "model": self.model,
            "sha256": self.sha256,
            "engine": self.engine,
            "pictures": found.pictures,
            "top1": _figure(found.top1),
            "per_class": {
                name: {
                    "recall": _figure(found.recall(kind)),
                    "precision": _figure(found.precision(kind)),
                    "pictures": found.of_class(kind),
                }
                for kind, name in enumerate(found.names)
            },
            "confusion": found.counts.tolist(),
            "cpu_ms_per_picture": _figure(self.cpu_ms_per_picture),
            "notes": list(self.notes),
        }


def evaluate_classifier(
    classifier: Classifier, pictures: "ClassFolders", one_more: Callable[[], None] = lambda: None, timed: int = TIMED
) -> Classification:
    """Shows it every picture, one by one. Classes are those of the same name, whatever their numbers.

    one_more: called after each picture. timed: how many, the first ones, are timed. Broken pictures are left out,
    with a note.

    Raises:
        UsageError: none of its classes is labelled, or no picture can be decoded.
    """
    numbers, notes = _numbers(classifier, pictures)
    labels: list[int] = []
    answers: list[int] = []
    cpu_ms: list[float] = []
    for file in pictures.files:
        try:
            view = PictureFile(file.path).pixels()
        except PictureError as error:
            notes.append(f"{file.path} {error}: left out")
            continue
        answer = _answer(classifier, view)
        if len(labels) < timed:  # behind a look, so that its weights are in the cache as they are in a busy worker
            start = time.process_time()
            _answer(classifier, view)
            cpu_ms.append((time.process_time() - start) * 1000)
        labels.append(file.kind)
        answers.append(numbers[answer])
        one_more()
    if not labels:
        raise UsageError(f"no picture can be measured on: {notes[-1] if notes else 'the folders are empty'}")
    return Classification(
        confusion(labels, answers, pictures.names),
        statistics.median(cpu_ms) if cpu_ms else math.nan,
        str(classifier.file.path),
        classifier.file.sha256,
        f"{classifier.engine.name} {classifier.engine.version}",
        tuple(notes),
    )


def classification_table(found: Classification) -> str:
    """Accuracy, recall and precision by class, and what is taken for what."""
    lines = [f"{found.model}, {found.engine}", f"{found.confusion.pictures} pictures", ""]
    lines += _aligned([("", "pictures", "recall", "precision"), *per_class(found.confusion)])
    counts = rows(found.confusion)
    if counts:
        lines += ["", "pictures of (rows) taken for (columns):", *_aligned(counts)]
    lines += ["", f"accuracy: {found.confusion.top1:.3f}", f"CPU per picture: {found.cpu_ms_per_picture:.2f} ms"]
    return "\n".join(lines)


def classification_json(found: Classification, dataset: str, split: str, threads: int) -> bytes:
    """The figures, for programs."""
    content = {"dataset": dataset, "split": split, "threads": threads, **found.to_json()}
    return orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _numbers(classifier: Classifier, pictures: "ClassFolders") -> tuple[list[int], list[str]]:
    """The classifier's class numbers to the folders', -1 for a class without one; and notes."""
    theirs = pictures.names
    if not set(classifier.names) & set(theirs):
        named = ", ".join(classifier.names[:5])
        raise UsageError(f"{classifier.file.path} knows {named}; the folders are called {', '.join(theirs[:5])}")
    unknown = [name for name in theirs if name not in classifier.names]
    notes = [f"class {name!r} is not one of the model's: its pictures count as mistaken" for name in unknown]
    numbers = [theirs.index(name) if name in theirs else -1 for name in classifier.names]
    return numbers, [*pictures.problems, *notes]


def _answer(classifier: Classifier, view: NDArray[np.uint8]) -> int:
    batch = classifier.new_batch(1)
    classifier.prepare(view, batch[0])
    return int(classifier.probabilities(batch)[0].argmax())


def _aligned(table: list[Any]) -> list[str]:
    return [f"{row[0]!s:<{_NAME}}" + "".join(f"{cell!s:>{_COLUMN}}" for cell in row[1:]) for row in table]


def _figure(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 4)
