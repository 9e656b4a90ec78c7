"""Every layout as tables: what is recognised, what is decoded, what is refused."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engines.detections import Detections
from engines.heads.head import Head, Sample, Thresholds
from engines.heads.registry import choose
from tests.unit.networks import rows

SIZE = 64  # of the input; its grid has 64 + 16 + 4 cells of strides 8, 16 and 32
CELLS = 84
BOX = (10.0, 20.0, 30.0, 60.0)
TWO = Thresholds.of([0.25, 0.25])


def logit(probability: float) -> float:
    return float(np.log(probability / (1 - probability)))


def background(width: int, count: int = CELLS) -> NDArray[np.float32]:
    """Decoded boxes all over the picture that nobody is sure of."""
    answer = np.zeros((1, count, width), np.float32)
    answer[0, :, :4] = np.linspace(0, SIZE, count)[:, None]
    return answer


def v8(score: float, kind: int = 1) -> list[NDArray[Any]]:
    answer = background(6)
    answer[0, 5] = [20, 40, 20, 40, *((0, score) if kind else (score, 0))]
    return [np.ascontiguousarray(answer.transpose(0, 2, 1))]


def v5(score: float, kind: int = 1, per_cell: int = 3) -> list[NDArray[Any]]:
    answer = background(7, CELLS * per_cell)
    # Objectness times class.
    answer[0, 5] = [20, 40, 20, 40, 0.9, *((0, score / 0.9) if kind else (score / 0.9, 0))]
    return [answer]


def yolox(score: float, kind: int = 1) -> list[NDArray[Any]]:
    answer = np.zeros((1, CELLS, 7), np.float32)
    # Cell 2, 1 of stride 16 begins at 32, 16: behind the 64 cells of stride 8.
    number = 64 + 1 * 4 + 2
    offsets = [20 / 16 - 2, 40 / 16 - 1, np.log(20 / 16), np.log(40 / 16)]
    answer[0, number] = [*offsets, 0.9, *((0, score / 0.9) if kind else (score / 0.9, 0))]
    return [answer]


def end2end(score: float, kind: int = 1) -> list[NDArray[Any]]:
    return [rows((*BOX, score, kind), (1, 1, 63, 63, 0.01, 0), count=30, width=6)]


def rtdetr(score: float, kind: int = 1) -> list[NDArray[Any]]:
    box = [20 / SIZE, 40 / SIZE, 20 / SIZE, 40 / SIZE]
    return [rows([*box, *((0.01, score) if kind else (score, 0.01))], [0.5] * 4, count=30, width=6)]


def rtdetr_logits(score: float, kind: int = 1) -> list[NDArray[Any]]:
    boxes = rtdetr(score)[0][:, :, :4]
    scores = np.full((1, 30, 2), -8, np.float32)
    scores[0, 0, kind] = logit(score)
    return [scores, np.ascontiguousarray(boxes)]


def fastestdet(score: float, kind: int = 1) -> list[NDArray[Any]]:
    answer = np.zeros((1, 7, 4, 4), np.float32)
    # Cell 1, 2 of 4 x 4: centre 20, 40 is 1.25, 2.5 cells.
    sizes = [logit(20 / SIZE), logit(40 / SIZE)]
    certain = (0, 1) if kind else (1, 0)
    answer[0, :, 2, 1] = [score ** (1 / 0.6), np.arctanh(0.25), np.arctanh(0.5), *sizes, *certain]
    return [answer]


LAYOUTS = {
    "yolov8": v8,
    "yolov5": v5,
    "yolox": yolox,
    "end2end": end2end,
    "rtdetr": rtdetr,
    "fastestdet": fastestdet,
}
ANSWERS = [*LAYOUTS.items(), ("rtdetr", rtdetr_logits), ("yolov5", lambda *a: v5(*a, per_cell=1))]


def sample(outputs: list[NDArray[Any]], names: tuple[str, ...] = (), **metadata: str) -> Sample:
    return Sample(SIZE, SIZE, outputs, names, metadata)


def decode(head: Head, outputs: list[NDArray[Any]], thresholds: Thresholds = TWO) -> Detections:
    with np.errstate(all="ignore"):
        return head.decode(outputs, 0, thresholds)


@pytest.mark.parametrize(("name", "answer"), ANSWERS)
def test_recognised_and_decoded(name: str, answer: Any) -> None:
    head = choose(sample(answer(0.8))).head
    assert head.name == name
    assert head.classes in (2, None)
    for kind in (0, 1):
        found = decode(head, answer(0.8, kind))
        np.testing.assert_allclose(found.boxes, [BOX], atol=1e-3)
        np.testing.assert_allclose(found.scores, [0.8], atol=1e-5)
        assert found.classes.tolist() == [kind]


@pytest.mark.parametrize(("name", "answer"), ANSWERS)
@pytest.mark.parametrize(
    ("score", "thresholds", "count"),
    [
        (0.2, [0.25, 0.25], 0),
        (0.3, [0.25, 0.25], 1),
        (0.3, [0.25, 0.35], 0),
        (0.3, [0.9, 0.25], 1),
        (0.9, [0.25, np.inf], 0),
        (0.9, [np.inf, np.inf], 0),
    ],
)
def test_each_class_has_its_threshold(name: str, answer: Any, score: float, thresholds: Any, count: int) -> None:
    head = choose(sample(answer(0.8)), name).head
    assert len(decode(head, answer(score), Thresholds.of(thresholds))) == count


@pytest.mark.parametrize(("name", "answer"), ANSWERS)
def test_nothing_found(name: str, answer: Any) -> None:
    head = choose(sample(answer(0.8)), name).head
    found = decode(head, [np.zeros_like(output) for output in answer(0.8)], Thresholds.of([0.6, 0.6]))
    assert len(found) == 0
    assert found.boxes.shape == (0, 4)


@pytest.mark.parametrize(("name", "answer"), ANSWERS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
def test_broken_answers_are_no_failure(name: str, answer: Any, value: float) -> None:
    head = choose(sample(answer(0.8)), name).head
    decode(head, [np.full_like(output, value) for output in answer(0.8)])


@pytest.mark.parametrize(("name", "answer"), ANSWERS)
def test_second_picture_of_a_batch(name: str, answer: Any) -> None:
    head = choose(sample(answer(0.8)), name).head
    both = [np.concatenate(pair) for pair in zip(answer(0.3, 0), answer(0.8, 1), strict=True)]
    assert head.decode(both, 1, TWO).classes.tolist() == [1]


def test_decoded_in_the_network_is_yolox_if_told_so() -> None:
    head = choose(sample(v5(0.8, per_cell=1)), "yolox").head
    np.testing.assert_allclose(decode(head, v5(0.8, per_cell=1)).boxes, [BOX], atol=1e-3)
    assert head.convention.colour == "BGR"


def test_the_file_may_name_its_head() -> None:
    choice = choose(sample(v5(0.8, per_cell=1), head="yolox"))
    assert (choice.head.name, choice.reason) == ("yolox", "its file says so")


@pytest.mark.parametrize(
    ("shapes", "names", "metadata", "words"),
    [
        ([(1, 1000)], (), {}, "classifier"),
        ([(1, 1000)], (), {"task": "classify"}, "classifier"),
        ([(1, 38, CELLS), (1, 32, 16, 16)], ("a", "b"), {"task": "segment"}, "made to segment"),
        ([(1, 56, CELLS)], ("person",), {"task": "pose"}, "made to pose"),
        ([(1, 3, 8, 8, 7), (1, 3, 4, 4, 7), (1, 3, 2, 2, 7)], (), {}, "export it with its grid"),
        ([(1, 50, 7)], (), {}, "if one of these reads it, say --head"),
        ([], (), {}, "no head knows"),
    ],
)
def test_unknown_layouts(shapes: Any, names: tuple[str, ...], metadata: dict[str, str], words: str) -> None:
    answers = [np.full(shape, 100, np.float32) for shape in shapes]
    with pytest.raises(ValueError, match=words):
        choose(sample(answers, names, **metadata))


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("shape", [(1, 4), (1, 2, 3, 4, 5), (1, 4, 4), (1, 2, 2, 2)])
def test_a_head_that_does_not_fit(name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=f"head {name} can't read outputs {'x'.join(map(str, shape))}"):
        choose(sample([np.zeros(shape, np.float32)]), name)


def test_no_such_head() -> None:
    with pytest.raises(ValueError, match=r"no head is called 'yolov9'; installed are: end2end, .*yolox"):
        choose(sample(v8(0.8)), "yolov9")


@pytest.mark.parametrize("kind", [-1, np.nan, np.inf])
def test_end_to_end_class_that_is_none(kind: float) -> None:
    head = choose(sample(end2end(0.8))).head
    assert len(decode(head, [rows((*BOX, 0.9, kind), count=30, width=6)])) == 0


def test_end_to_end_class_without_a_name() -> None:
    head = choose(sample(end2end(0.8))).head
    with pytest.raises(ValueError, match="it found class 2, and only 2 have names"):
        decode(head, [rows((*BOX, 0.9, 2), count=30, width=6)])


def test_fastestdet_weighs_objectness_and_class() -> None:
    [answer] = fastestdet(0.8)
    answer[0, [0, 6], 2, 1] = 0.5, 0.25
    found = decode(choose(sample([answer])).head, [answer])
    np.testing.assert_allclose(found.scores, [0.5**0.6 * 0.25**0.4], rtol=1e-5)
