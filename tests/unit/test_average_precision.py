"""COCO's average precision, against figures that can be worked out by hand."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from engines.detections import Detections
from engines.evaluation.average_precision import MAX_OBJECTS, ClassScore, Scores, best_threshold, score
from engines.training.dataset import Dataset, Picture
from engines.training.picture_file import PictureFile

pytest.importorskip("pycocotools")

NAMES = ("person", "car", "bus")
A, B = (10, 10, 50, 50), (60, 60, 100, 100)
NEAR_A = (10, 10, 50, 43)  # 33/40 of A: IoU .825, above seven of COCO's ten overlaps
FAR = (200, 200, 240, 240)

Label = tuple[int, Sequence[float]]
Found = tuple[int, Sequence[float], float]


def picture(labels: Sequence[Label], crowd: Sequence[bool] = (), source: str = "") -> Picture:
    boxes = np.array([box for _, box in labels], np.float32).reshape(-1, 4)
    classes = np.array([kind for kind, _ in labels], np.int64)
    crowds = np.array(crowd or [False] * len(labels), np.bool_)
    path = Path("x.jpg")
    scores = np.ones(len(labels), np.float32)
    return Picture(path, 320, 240, boxes, classes, scores, crowds, source, 0, PictureFile(path))


def found(*objects: Found) -> Detections:
    boxes = np.array([box for _, box, _ in objects], np.float32).reshape(-1, 4)
    scores = np.array([each for _, _, each in objects], np.float32)
    return Detections(boxes, scores, np.array([kind for kind, _, _ in objects], np.int64))


def scored(
    pictures: Sequence[Picture], predictions: Sequence[Detections], labelled: Mapping[str, frozenset[int]] | None = None
) -> Scores:
    return score(predictions, Dataset(NAMES, tuple(pictures), (), labelled or {}))


def figures(result: Scores | ClassScore) -> tuple[float, float]:
    return result.AP50, result.AP


@pytest.mark.parametrize(
    ("predictions", "ap50", "ap"),
    [
        ([(0, A, 0.9), (0, B, 0.8)], 1, 1),
        ([(0, A, 0.9)], 51 / 101, 51 / 101),  # precision 1 up to a recall of .50, the 51st of 101
        ([(0, A, 0.9), (0, B, 0.5), (0, FAR, 0.1)], 1, 1),  # what is wrong and below all that is right
        ([(0, FAR, 0.9), (0, A, 0.8), (0, B, 0.7)], 2 / 3, 2 / 3),
        ([(0, A, 0.9), (0, A, 0.8), (0, B, 0.7)], (51 + 50 * 2 / 3) / 101, (51 + 50 * 2 / 3) / 101),  # A only once
        ([(0, NEAR_A, 0.9), (0, B, 0.8)], 1, (7 + 3 * 51 / 101 / 2) / 10),  # B alone, behind a wrong one: .5
        ([(1, A, 0.9), (1, B, 0.8)], 0, 0),
        ([], 0, 0),
    ],
)
def test_precision_of_two_objects(predictions: list[Found], ap50: float, ap: float) -> None:
    person = scored([picture([(0, A), (0, B)])], [found(*predictions)]).per_class["person"]
    assert figures(person) == pytest.approx((ap50, ap), abs=1e-3)
    assert person.objects == 2


@pytest.mark.parametrize(
    ("predictions", "confidence", "f1"),
    [
        ([(0, A, 0.9), (0, B, 0.5), (0, FAR, 0.25)], 0.5, 1),
        ([(0, A, 0.9), (0, FAR, 0.6), (0, B, 0.5)], 0.5, 4 / 5),
        ([(0, A, 0.9), *[(0, FAR, 0.6)] * 8, (0, B, 0.5)], 0.9, 2 / 3),
    ],
)
def test_the_best_threshold_balances_what_is_missed_and_what_is_wrong(
    predictions: list[Found], confidence: float, f1: float
) -> None:
    best = best_threshold(scored([picture([(0, A), (0, B)])], [found(*predictions)]).per_class.values())
    assert best
    assert (best.confidence, best.F1) == pytest.approx((confidence, f1))


def test_the_best_threshold_is_one_for_all_classes_that_are_labelled() -> None:
    """At .3 the car is found, and the five people that are none count."""
    seen = found((0, A, 0.9), (1, B, 0.3), *[(0, FAR, 0.4)] * 5, (2, FAR, 0.9))
    best = best_threshold(scored([picture([(0, A), (1, B)])], [seen]).per_class.values())
    assert best
    assert (best.confidence, best.F1) == pytest.approx((0.3, (2 / 7 + 1) / 2))
    # What lies in a crowd is neither right nor wrong.
    crowd = scored([picture([(0, A), (0, FAR)], [False, True])], [found((0, A, 0.3), *[(0, FAR, 0.4)] * 5)])
    best = best_threshold(crowd.per_class.values())
    assert best
    assert (best.confidence, best.F1) == pytest.approx((0.3, 1))
    assert best_threshold(scored([picture([(0, A)])], [found((0, FAR, 0.9))]).per_class.values()) is None


def test_means_are_over_the_classes_that_are_labelled() -> None:
    result = scored([picture([(0, A), (1, B)])], [found((0, A, 0.9), (2, FAR, 0.9))])
    assert figures(result) == pytest.approx((0.5, 0.5))
    assert result.per_class["car"].AP50 == 0
    assert math.isnan(result.per_class["bus"].AP50)
    assert math.isnan(result.per_class["bus"].AP)


def test_nothing_labelled_has_no_figure() -> None:
    assert math.isnan(scored([picture([])], [found((0, A, 0.9))]).AP50)


def test_what_is_found_in_a_crowd_is_neither_right_nor_wrong() -> None:
    inside, also = (60, 60, 70, 70), (80, 80, 90, 90)
    pictures = [picture([(0, A), (0, B)], crowd=[False, True])]
    result = scored(pictures, [found((0, inside, 0.9), (0, also, 0.9), (0, A, 0.8))])
    person = result.per_class["person"]
    assert (person.AP50, person.objects) == pytest.approx((1, 1))


def test_boxes_count_in_their_own_picture_only() -> None:
    pictures = [picture([(0, A)]), picture([(0, B)])]
    assert scored(pictures, [found((0, A, 0.9)), found((0, B, 0.9))]).AP50 > 0.99
    assert scored(pictures, [found((0, B, 0.9)), found((0, A, 0.9))]).AP50 == 0


def test_classes_that_a_source_is_not_labelled_for_do_not_count_there() -> None:
    pictures = [picture([(0, A), (1, B)], source="cap"), picture([(1, A)], source="hw")]
    predictions = [found((0, A, 0.9), (1, FAR, 0.9)), found((1, A, 0.8))]
    assert scored(pictures, predictions).per_class["car"].AP50 < 0.3
    result = scored(pictures, predictions, {"cap": frozenset([0])})
    person, car = result.per_class["person"], result.per_class["car"]
    assert (person.AP50, car.AP50, car.objects) == pytest.approx((1, 1, 1))


def test_only_the_most_confident_boxes_count() -> None:
    wrong = [(0, FAR, 0.9)] * MAX_OBJECTS
    assert scored([picture([(0, A)])], [found(*wrong[1:], (0, A, 0.5))]).AP50 > 0
    assert scored([picture([(0, A)])], [found(*wrong, (0, A, 0.5))]).AP50 == 0


def test_the_curve_of_precision_over_recall() -> None:
    curve = scored([picture([(0, A), (0, B)])], [found((0, A, 0.9))]).per_class["person"].precision
    assert curve.shape == (101,)
    assert curve.dtype == np.float32
    assert curve[50] == pytest.approx(1)
    assert curve[51] == 0


def test_one_prediction_for_each_picture() -> None:
    with pytest.raises(ValueError, match="shorter"):
        scored([picture([]), picture([])], [found()])


def test_nothing_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    scored([picture([(0, A)])], [found()])
    assert capsys.readouterr() == ("", "")
