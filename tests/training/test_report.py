"""The report: which misses it sees, and what is in its folder."""

from pathlib import Path

import numpy as np
import pytest

from engines.detections import Detections
from engines.evaluation.average_precision import score
from engines.training.dataset import Dataset, read_dataset
from engines.training.misses import draw, judge, worst
from engines.training.report import write_report
from tests.training.drawn import NAMES
from tests.training.drawn import draw as draw_dataset

ALL = frozenset({0, 1})
HISTORY = [
    {"epoch": 0, "size": 64, "loss": 3.0, "classes": 2.0, "boxes": 0.4, "seconds": 30.0},
    {"epoch": 1, "size": 64, "loss": 2.0, "classes": 1.0, "boxes": 0.4, "seconds": 30.0, "AP": 0.3, "AP50": 0.5},
]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return read_dataset(draw_dataset(tmp_path_factory.mktemp("drawn"), train=2, val=4), "val")


def found(boxes: list[list[float]], scores: list[float], classes: list[int]) -> Detections:
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4), np.array(scores, np.float32), np.array(classes, np.int64)
    )


def perfect(dataset: Dataset) -> list[Detections]:
    return [Detections(each.boxes, each.scores * np.float32(0.9), each.classes) for each in dataset.pictures]


def shifted(dataset: Dataset, share: float) -> list[float]:
    box = dataset.pictures[0].boxes[0]
    return list(box + (box[2] - box[0]) * share)


@pytest.mark.parametrize(
    ("share", "confidence", "kind", "missed", "invented"),
    [
        (0.0, 0.9, 0, 0, 0),
        (0.1, 0.9, 0, 0, 0),  # IoU .68
        (0.4, 0.9, 0, 1, 1),  # IoU .22
        (0.0, 0.9, 1, 1, 1),
        (0.0, 0.1, 0, 1, 0),
    ],
    ids=["right", "a little off", "far off", "another class", "not confident"],
)
def test_what_is_missed_and_what_invented(
    dataset: Dataset, share: float, confidence: float, kind: int, missed: int, invented: int
) -> None:
    judged = judge(dataset.pictures[0], found([shifted(dataset, share)], [confidence], [kind]), ALL)
    assert (judged.missed.sum(), judged.invented.sum()) == (missed, invented)


def test_an_object_is_found_once(dataset: Dataset) -> None:
    box = shifted(dataset, 0)
    judged = judge(dataset.pictures[0], found([box, box], [0.8, 0.9], [0, 0]), ALL)
    assert judged.found.scores.tolist() == pytest.approx([0.9, 0.8])
    assert judged.invented.tolist() == [False, True]


def test_what_is_not_labelled_throughout_is_not_judged(dataset: Dataset) -> None:
    judged = judge(dataset.pictures[0], found([shifted(dataset, 0.4)], [0.9], [0]), frozenset({1}))
    assert judged.badness == 0


def test_the_worst_come_first(dataset: Dataset) -> None:
    nothing = Detections.none()
    invented = found([[0, 0, 9, 9]], [0.5], [1])
    predictions = [perfect(dataset)[0], nothing, invented, nothing]
    ranked = worst(predictions, dataset, 3)
    assert [each.picture.number for each in ranked] == [2, 1, 3]


def test_a_drawing_shows_what_is_missed_in_red(dataset: Dataset) -> None:
    picture = draw(judge(dataset.pictures[0], Detections.none(), ALL), NAMES)
    assert max(picture.shape) >= 480
    assert (np.abs(picture.astype(int) - (230, 60, 60)).max(axis=2) < 20).any()


def test_the_folder_holds_a_page_and_what_it_shows(dataset: Dataset, tmp_path: Path) -> None:
    predictions = [*perfect(dataset)[:3], Detections.none()]
    page = write_report(tmp_path, HISTORY, score(predictions, dataset), predictions, dataset)
    text = page.read_text(encoding="utf-8")
    assert "2 epochs in 1 minutes, loss 3.000 to 2.000. The best measurement, AP50 0.500, was after epoch 2." in text
    assert "| box | 2 | 1.000 | 1.000 |" in text
    shown = {part.partition(")")[0] for part in text.split("](")[1:]}
    assert (
        shown
        == {"course.png", "precision_recall.png", "worst_01.jpg"}
        == {file.name for file in tmp_path.iterdir() if file != page}
    )


def test_without_a_measurement_there_is_the_course_only(tmp_path: Path) -> None:
    write_report(tmp_path, HISTORY[:1])
    assert sorted(file.name for file in tmp_path.iterdir()) == ["course.png", "report.md"]
