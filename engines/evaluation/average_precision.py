"""Average precision as COCO defines it, from boxes found and boxes labelled.

Lin et al., "Microsoft COCO: Common Objects in Context", 2014; computed by pycocotools, the definition's own program.
"""

import contextlib
import io
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engines.detections import Detections, Floats
from streamer.errors import UsageError
from streamer.extras import how_to_install

if TYPE_CHECKING:
    from engines.training.dataset import Dataset, Picture

MAX_OBJECTS = 100
"""The most confident boxes of a picture and class that count; COCO's limit."""


@dataclass(frozen=True, slots=True, eq=False)
class ClassScore:
    """How well one class is found.

    AP: average precision, the mean over the overlaps (IoU) .50, .55 .. .95 that a box must reach to count.
    AP50: at IoU .50 alone. Both are nan where nothing of the class is labelled.
    objects: how many are labelled, crowds not counted.
    precision: float32 (101,), at IoU .50 and a recall of 0, .01 .. 1.
    confidence, right: float32 (n,) and bool (n,): the score of each box that counts, the most confident first, and
        whether it is right at IoU .50.
    """

    AP: float
    AP50: float
    objects: int
    precision: Floats
    confidence: Floats
    right: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """How well a data set's objects are found. AP, AP50: means over the classes that are labelled at all; else nan."""

    AP: float
    AP50: float
    per_class: Mapping[str, ClassScore]


@dataclass(frozen=True, slots=True)
class Threshold:
    """A least score, and the mean over the labelled classes of F1 = 2PR / (P + R) that it gives, at IoU .50."""

    confidence: float
    F1: float


def score(predictions: Sequence[Detections], dataset: "Dataset") -> Scores:
    """COCO's figures for what was found in the pictures of a data set.

    predictions: one per picture of `dataset`, in its order; boxes in that picture's pixels, classes as numbers of
        `dataset.names`. Found in a crowd's box is neither right nor wrong. Where a picture's source is not labelled
        for a class throughout (`dataset.labelled`), neither what is found nor what is labelled of it counts.

    Raises:
        UsageError: pycocotools is not installed.
        ValueError: there are more or fewer predictions than pictures.
    """
    coco, evaluation = pycocotools()
    names = dataset.names
    pictures = list(enumerate(zip(dataset.pictures, predictions, strict=True)))
    labels = [_labels(number, picture, dataset.known(picture.source)) for number, (picture, _) in pictures]
    found = [_found(number, each, dataset.known(picture.source)) for number, (picture, each) in pictures]
    # pycocotools prints its progress, and takes no hint not to.
    with contextlib.redirect_stdout(io.StringIO()):
        judge = evaluation(_indexed(coco, dataset, labels), _indexed(coco, dataset, found), "bbox")
        # Objects of all sizes together, one limit of boxes: a quarter of the time of all that it could tell.
        judge.params.areaRng, judge.params.areaRngLbl = judge.params.areaRng[:1], judge.params.areaRngLbl[:1]
        judge.params.maxDets = [MAX_OBJECTS]
        judge.evaluate()
        judge.accumulate()
    precision = judge.eval["precision"][:, :, :, 0, 0]  # (10 overlaps, 101 recalls, classes), -1: not labelled
    objects = [mark["category_id"] for mark in itertools.chain(*labels) if not mark["iscrowd"]]
    per_class = {
        name: _class_score(
            precision[:, :, number], objects.count(number), judge.evalImgs[number * len(pictures) :][: len(pictures)]
        )
        for number, name in enumerate(names)
    }
    labelled = [each for each in per_class.values() if each.objects]
    return Scores(_mean([each.AP for each in labelled]), _mean([each.AP50 for each in labelled]), per_class)


def best_threshold(per_class: Iterable[ClassScore]) -> Threshold | None:
    """The least score that balances what is missed and what is wrong best; None where nothing right is found."""
    labelled = [each for each in per_class if each.objects]
    wanted = np.unique(np.concatenate([np.zeros(0, np.float32), *(each.confidence[each.right] for each in labelled)]))
    if not len(wanted):
        return None
    means = np.mean([_f1(each, wanted) for each in labelled], axis=0)
    best = int(means.argmax())
    return Threshold(float(wanted[best]), float(means[best]))


def _f1(of_class: ClassScore, wanted: Floats) -> Any:
    """Of a class at several least scores (n,): float64 (n,)."""
    boxes = np.searchsorted(-of_class.confidence, -wanted, "right")
    right = np.concatenate([[0], np.cumsum(of_class.right)])[boxes]
    return 2 * right / (boxes + of_class.objects)  # 2PR / (P + R), P = right / boxes, R = right / objects


def _class_score(precision: Any, objects: int, looked: Sequence[Mapping[str, Any] | None]) -> ClassScore:
    """precision: float64 (10 overlaps, 101 recalls). looked: pycocotools' `evalImgs` of the class."""
    if not objects:
        nothing = np.zeros(0, np.float32)
        return ClassScore(np.nan, np.nan, 0, np.zeros(precision.shape[1], np.float32), nothing, nothing > 0)
    seen = [each for each in looked if each]
    confidence = np.concatenate([np.zeros(0), *(each["dtScores"] for each in seen)]).astype(np.float32)
    right = np.concatenate([np.zeros(0), *(each["dtMatches"][0] for each in seen)]) > 0
    counts = np.concatenate([np.zeros(0), *(each["dtIgnore"][0] for each in seen)]) == 0
    order = np.argsort(-confidence, kind="stable")
    order = order[counts[order]]
    return ClassScore(
        float(precision.mean()),
        float(precision[0].mean()),
        objects,
        precision[0].astype(np.float32),
        confidence[order],
        right[order],
    )


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")


def _labels(number: int, picture: "Picture", known: frozenset[int]) -> list[dict[str, Any]]:
    marks = zip(picture.boxes.tolist(), picture.classes.tolist(), picture.crowd.tolist(), strict=True)
    return [_mark(number, box, kind, iscrowd=int(crowd)) for box, kind, crowd in marks if kind in known]


def _found(number: int, found: Detections, known: frozenset[int]) -> list[dict[str, Any]]:
    marks = zip(found.boxes.tolist(), found.classes.tolist(), found.scores.tolist(), strict=True)
    return [_mark(number, box, kind, score=score) for box, kind, score in marks if kind in known]


def _mark(picture: int, box: Sequence[float], kind: int, **more: float) -> dict[str, Any]:
    left, top, right, bottom = box
    width, height = right - left, bottom - top
    place = {"image_id": picture, "category_id": kind, "bbox": [left, top, width, height], "area": width * height}
    return {"iscrowd": 0, **place, **more}


def _indexed(coco: Callable[[], Any], dataset: "Dataset", marks: Sequence[Sequence[Mapping[str, Any]]]) -> Any:
    """A COCO object of these marks. Their ids start at 1: pycocotools takes a match with 0 for none."""
    table = coco()
    table.dataset = {
        "images": [{"id": number} for number in range(len(dataset.pictures))],
        "categories": [{"id": number, "name": name} for number, name in enumerate(dataset.names)],
        "annotations": [{"id": number, **mark} for number, mark in enumerate(itertools.chain(*marks), 1)],
    }
    table.createIndex()
    return table


def pycocotools() -> tuple[Callable[[], Any], Callable[..., Any]]:
    """Its classes COCO and COCOeval.

    Raises:
        UsageError: it is not installed.
    """
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError:
        raise UsageError(f"evaluation needs pycocotools: {how_to_install('evaluate')}") from None
    return COCO, COCOeval
