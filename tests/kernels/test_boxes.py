"""The kernels behind the network against heads and NMS of the CPU workers: the same boxes in the same order."""

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from engines.detections import Detections
from engines.detector import Detector, Selection
from engines.engine import InputSpec
from engines.heads.end2end import End2EndHead
from engines.heads.fastestdet import FastestDetHead
from engines.heads.head import Head, Sample, Thresholds
from engines.heads.rtdetr import RtDetrHead
from engines.heads.yolov5 import YoloV5Head
from engines.heads.yolov8 import YoloV8Head
from engines.heads.yolox import YoloXHead
from engines.model import ModelInfo
from engines.nms import suppress
from engines.tensorrt import postprocess as post
from tests.kernels.on_cpu import Kernels, whole_pictures

SIZE, CLASSES = 416, 6
CELLS = 3549
LAYOUTS = ["yolov8", "yolov5", "yolox", "end2end", "fastestdet", "rtdetr", "rtdetr logits"]
# How far boxes and scores may be apart: exp(), tanh() and pow() of another library differ in the last bits.
ROUNDED = {"yolox": (1e-5, 0), "fastestdet": (1e-4, 1e-6), "rtdetr logits": (0, 1e-6)}


def answers(layout: str, pictures: int, random: np.random.Generator) -> NDArray[np.float32]:
    """What a busy network might answer: clusters of boxes with equal scores among them."""
    boxes = {"fastestdet": 26 * 26, "yolov8": CELLS, "yolov5": CELLS, "yolox": CELLS}.get(layout, 300)
    centres = random.integers(0, 12, (pictures, boxes, 2)) * 34 + random.normal(0, 3, (pictures, boxes, 2))
    sizes = random.uniform(20, 60, (pictures, boxes, 2))
    scores = np.round(random.uniform(0, 1, (pictures, boxes, CLASSES)) ** 12, 2)
    if layout == "yolov8":
        return np.concatenate([centres, sizes, scores], 2).transpose(0, 2, 1).astype(np.float32).copy()
    if layout == "end2end":
        kinds = random.integers(0, CLASSES, (pictures, boxes, 1))
        parts = [centres - sizes / 2, centres + sizes / 2, scores.max(2, keepdims=True), kinds]
        return np.concatenate(parts, 2).astype(np.float32)
    if layout == "fastestdet":
        # Not all tenths: with these no two products of powers are the same but for how they are rounded.
        objectness = np.round(random.uniform(0.45, 1, (pictures, boxes, 1)), 1)
        parts = [objectness, random.normal(0, 1, (pictures, boxes, 2)), random.normal(-2, 0.5, (pictures, boxes, 2))]
        table = np.concatenate([*parts, scores], 2).transpose(0, 2, 1).astype(np.float32)
        return table.reshape(pictures, 5 + CLASSES, 26, 26).copy()
    if layout.startswith("rtdetr"):
        scores = scores * 8 - 4 if layout == "rtdetr logits" else scores
        return np.concatenate([centres / SIZE, sizes / SIZE, scores], 2).astype(np.float32)
    objectness = np.round(random.uniform(0, 1, (pictures, boxes, 1)) ** 4, 1)
    if layout == "yolox":
        centres, sizes = random.normal(0, 1, (pictures, boxes, 2)), random.normal(0.5, 0.5, (pictures, boxes, 2))
    return np.concatenate([centres, sizes, objectness, scores], 2).astype(np.float32)


def head_of(layout: str, answer: NDArray[np.float32]) -> Head:
    if layout.startswith("rtdetr"):
        return RtDetrHead(CLASSES, 0, 0, (SIZE, SIZE), logits=layout == "rtdetr logits")
    heads: dict[str, Any] = {"yolov8": YoloV8Head, "yolov5": YoloV5Head, "yolox": YoloXHead, "end2end": End2EndHead}
    heads["fastestdet"] = FastestDetHead
    head: Head = heads[layout].bind(Sample(SIZE, SIZE, [answer[:1]]))
    return head


def select(per_class: list[float], iou: float, agnostic: bool, most: int) -> Selection:
    thresholds = Thresholds.of(per_class)
    return Selection(thresholds, iou=iou, agnostic=agnostic, max_objects=most)


class Answering:
    """An engine that gives the same answer always."""

    name = version = "test"

    def __init__(self, answer: NDArray[Any]) -> None:
        self.answer = answer
        self.input = InputSpec(SIZE, SIZE, len(answer), False, np.dtype(np.float32))

    def infer(self, batch: NDArray[Any]) -> list[NDArray[Any]]:
        return [self.answer]

    def close(self) -> None:
        pass


def on_cpu(answer: NDArray[Any], head: Head, selection: Selection) -> list[Detections]:
    """As a CPU worker finds them."""
    names = tuple(map(str, range(len(selection.thresholds.per_class))))
    model = ModelInfo(Path("m"), "", SIZE, SIZE, names, head.name, "", "stretch", "RGB", 1.0, "file")
    detector = Detector(model, Answering(answer), head, selection)
    picture = np.zeros((SIZE, SIZE, 3), np.uint8)
    return detector.detect_pictures([picture] * len(answer))


def by_kernels(kernels: Kernels, answer: NDArray[Any], head: Head, selection: Selection) -> list[Detections]:
    how = post.reading(head, answer.shape)
    assert how is not None
    rows = whole_pictures(len(answer), SIZE, SIZE)
    tallies, found = kernels.candidates(answer, how, [selection.thresholds], rows)
    rivals = how.rivals(selection.agnostic)
    return list(kernels.suppress(tallies, found, rivals, selection.iou, selection.max_objects, rows))


def same(found: list[Detections], expected: list[Detections], boxes: float = 0, scores: float = 0) -> None:
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.classes, other.classes)
        np.testing.assert_allclose(one.scores, other.scores, rtol=scores)
        np.testing.assert_allclose(one.boxes, other.boxes, rtol=boxes, atol=boxes)


PER_CLASS = [0.3, 0.25, 0.9, np.inf, 0.5, 0.25]


@pytest.mark.parametrize("agnostic", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_batch_as_the_cpu_worker_finds_it(kernels: Kernels, layout: str, agnostic: bool) -> None:
    answer = answers(layout, 3, np.random.default_rng(1))
    head, selection = head_of(layout, answer), select(PER_CLASS, 0.6, agnostic, 300)

    found = by_kernels(kernels, answer, head, selection)

    expected = on_cpu(answer, head, selection)
    assert min(map(len, expected)) > 20
    same(found, expected, *ROUNDED.get(layout, ()))


@pytest.mark.parametrize("iou", [0.1, 0.3, 0.5, 0.75, 1.0])
@pytest.mark.parametrize("most", [1, 7, 300])
def test_limits(kernels_once: Kernels, iou: float, most: int) -> None:
    answer = answers("yolov8", 2, np.random.default_rng(2))
    head, selection = head_of("yolov8", answer), select([0.4] * CLASSES, iou, False, most)
    same(by_kernels(kernels_once, answer, head, selection), on_cpu(answer, head, selection))


def test_half_precision(kernels: Kernels) -> None:
    answer = answers("yolov8", 1, np.random.default_rng(3)).astype(np.float16)
    head, selection = head_of("yolov8", answer), select([0.4] * CLASSES, 0.6, False, 300)
    same(by_kernels(kernels, answer, head, selection), on_cpu(answer, head, selection))


def test_nothing_found(kernels: Kernels) -> None:
    answer = answers("yolov8", 2, np.random.default_rng(4))
    head, selection = head_of("yolov8", answer), select([2.0] * CLASSES, 0.6, False, 300)
    assert [len(one) for one in by_kernels(kernels, answer, head, selection)] == [0, 0]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
def test_broken_answers(kernels_once: Kernels, layout: str, value: float) -> None:
    answer = answers(layout, 1, np.random.default_rng(5))
    broken = answer.reshape(*answer.shape[:2], -1)
    broken = broken.transpose(0, 2, 1) if layout in ("yolov8", "fastestdet") else broken
    for column in range(broken.shape[2]):
        broken[0, column::40, column] = value
    # All classes as one: cv2.dnn.NMSBoxesBatched moves classes apart by the largest coordinate, where float64 ends.
    head, selection = head_of(layout, answer), select([0.4] * CLASSES, 0.6, True, 300)
    found = by_kernels(kernels_once, answer, head, selection)
    same(found, on_cpu(answer, head, selection), *ROUNDED.get(layout, ()))


@pytest.mark.parametrize("agnostic", [False, True])
def test_boxes_that_are_inside_out_remove_none(kernels_once: Kernels, agnostic: bool) -> None:
    answer = answers("yolov8", 1, np.random.default_rng(9))
    turned = answer.copy()
    turned[0, 2, ::50] *= -3
    turned[0, 4:, ::50] = 1.5  # before any that would remove them
    turned[0, 3, 1::50] = 0
    answer[0, 4:, ::50] = answer[0, 4:, 1::50] = 0
    head, selection = head_of("yolov8", answer), select([0.4] * CLASSES, 0.6, agnostic, 300)

    found = by_kernels(kernels_once, turned, head, selection)

    same(found, on_cpu(turned, head, selection))
    same(found, on_cpu(answer, head, selection))


def test_a_class_without_a_name(kernels: Kernels) -> None:
    answer = answers("end2end", 2, np.random.default_rng(6))
    answer[1, 7, 4:] = 0.9, CLASSES
    how = post.reading(head_of("end2end", answer), answer.shape)
    assert how is not None
    tallies, _ = kernels.candidates(
        answer, how, [Thresholds.of([0.25] * CLASSES)], whole_pictures(len(answer), SIZE, SIZE)
    )
    assert tallies["strange"].tolist() == [0, 1 + CLASSES]


def test_each_picture_has_its_level_of_thresholds(kernels: Kernels) -> None:
    answer, rows = answers("yolov8", 1, np.random.default_rng(8)).repeat(3, axis=0), whole_pictures(3, SIZE, SIZE)
    rows["level"] = 1, 0, 1
    levels = [Thresholds.of([0.5] * CLASSES), Thresholds.of([0.2, *[0.3] * (CLASSES - 1)])]
    how = post.reading(head_of("yolov8", answer), answer.shape)
    assert how is not None

    tallies, _ = kernels.candidates(answer, how, levels, rows)

    best = answer[0, 4:].max(axis=0)
    reached = [int((best >= level.per_class[answer[0, 4:].argmax(axis=0)]).sum()) for level in levels]
    assert tallies["passed"].tolist() == [reached[1], reached[0], reached[1]]


@pytest.mark.parametrize("equal", [False, True])
def test_of_too_many_the_most_confident_compete_and_of_equals_the_first(kernels: Kernels, equal: bool) -> None:
    random = np.random.default_rng(7)
    answer = answers("yolov8", 1, random)
    answer[0, 4:] = 0
    answer[0, 4] = 0.5 if equal else np.round(random.uniform(0.3, 1, CELLS), 2)
    how = post.reading(head_of("yolov8", answer), answer.shape)
    assert how is not None

    [tally], [found] = kernels.candidates(
        answer, how, [Thresholds.of([0.25] * CLASSES)], whole_pictures(len(answer), SIZE, SIZE)
    )

    order = np.argsort(-answer[0, 4], kind="stable")[: post.CAPACITY]
    assert (tally["passed"], tally["candidates"]) == (CELLS, post.CAPACITY)
    np.testing.assert_array_equal(found["score"], answer[0, 4][order])
    centres = (found["box"][:, :2] + found["box"][:, 2:]) / 2
    np.testing.assert_allclose(centres, answer[0, :2, order], rtol=1e-4, atol=1e-4)


def test_layouts_that_the_kernels_leave_to_the_cpu() -> None:
    theirs: Any = object()
    assert post.reading(theirs, (1, 85, 22, 22)) is None


# No two products of powers of these are the same but for how they are rounded, and none is at a threshold.
NUMBERS = st.sampled_from([-3, -0.5, 0, 0.1, 0.5, 0.9, 3, np.inf, np.nan])
THRESHOLDS = Thresholds.of([0.3, 0.6, np.inf])


@pytest.fixture(scope="session")
def candidates(library: Path) -> Callable[..., Detections]:
    """What the kernels make of the second picture."""
    kernels = Kernels(ctypes.CDLL(str(library)))

    def run(head: Head, *outputs: NDArray[np.float32]) -> Detections:
        how = post.reading(head, outputs[0].shape)
        assert how is not None
        rows = whole_pictures(2, 64, 48)
        tallies, found = kernels.candidates(outputs[0], how, [THRESHOLDS], rows, *outputs[1:])
        mine = found[1, : tallies["candidates"][1]]
        return Detections(mine["box"].copy(), mine["score"].copy(), mine["kind"].astype(np.int64))

    return run


def decoded(head: Head, *outputs: NDArray[np.float32]) -> Detections:
    """What the CPU's head makes of the second picture, in the order of the kernels."""
    with np.errstate(all="ignore"):
        found = head.decode(outputs, 1, THRESHOLDS)
        visible = (found.boxes[:, 2:] > found.boxes[:, :2]).all(axis=1)
    found = found[np.isfinite(found.boxes).all(axis=1) & np.isfinite(found.scores) & visible]
    return found[np.argsort(-found.scores, kind="stable")]


@hypothesis_settings(max_examples=300, deadline=None)
@given(arrays.arrays(np.float32, (2, 8, 2, 3), elements=NUMBERS))
def test_fastestdets_cells_are_read_as_on_the_cpu(candidates: Any, answer: NDArray[np.float32]) -> None:
    head = FastestDetHead(3, (64, 48))
    same([candidates(head, answer)], [decoded(head, answer)], *ROUNDED["fastestdet"])


@hypothesis_settings(max_examples=300, deadline=None)
@given(arrays.arrays(np.float32, (2, 5, 7), elements=NUMBERS), st.booleans(), st.sampled_from([None, 0, 1]))
def test_rtdetrs_queries_are_read_as_on_the_cpu(
    candidates: Any, answer: NDArray[np.float32], logits: bool, boxes: int | None
) -> None:
    """boxes: which of two outputs has them; None: one has all."""
    parts = [answer[..., :4].copy(), answer[..., 4:].copy()]
    outputs = [answer] if boxes is None else parts[:: 1 - 2 * boxes]
    head = RtDetrHead(3, boxes or 0, 0 if boxes is None else 1 - boxes, (64, 48), logits)
    same([candidates(head, *outputs)], [decoded(head, *outputs)], 0, 1e-6 if logits else 0)


# Corners on a grid and few scores: equal scores, equal boxes, touching and empty ones, and overlaps at the limit.
BOXES = st.lists(
    st.tuples(*[st.integers(0, 6)] * 4, st.sampled_from([0.25, 0.5, 0.75]), st.integers(0, 1)), min_size=0, max_size=12
)


@pytest.fixture(scope="session")
def nms(library: Path) -> Callable[..., list[tuple[float, ...]]]:
    """What stays: left, top, right, bottom, score, class each."""
    kernels = Kernels(ctypes.CDLL(str(library)))

    def run(found: Detections, iou: float, agnostic: bool) -> list[tuple[float, ...]]:
        order = np.argsort(-found.scores, kind="stable")
        candidates = np.zeros((1, post.CAPACITY), post.CANDIDATE)
        for row, number in zip(candidates[0], order, strict=False):
            row["box"], row["score"], row["kind"] = found.boxes[number], found.scores[number], found.classes[number]
        tallies = np.zeros(1, post.TALLY)
        tallies["candidates"] = len(found)
        rivals = post.Rivals.EVERYBODY if agnostic else post.Rivals.SAME_CLASS
        [kept] = kernels.suppress(tallies, candidates, rivals, iou, 300, whole_pictures(1, 64, 64))
        return [tuple(row) for row in np.column_stack([kept.boxes, kept.scores, kept.classes]).tolist()]

    return run


@hypothesis_settings(max_examples=300, deadline=None)
@given(BOXES, st.sampled_from([0.2, 0.25, 1 / 3, 0.5, 0.6]), st.booleans())
def test_ties_and_limits_go_as_on_the_cpu(nms: Any, rows: list[tuple[float, ...]], iou: float, agnostic: bool) -> None:
    table = np.array(rows, np.float32).reshape(-1, 6)
    boxes = table[:, :4].copy()
    boxes[:, 2:] += boxes[:, :2]
    found = Detections(boxes, table[:, 4].copy(), table[:, 5].astype(np.int64))

    kept = found[suppress(found, iou, agnostic)]

    visible = kept[(kept.boxes[:, 2:] > kept.boxes[:, :2]).all(axis=1)]
    expected = np.column_stack([visible.boxes, visible.scores, visible.classes]).tolist()
    assert nms(found, iou, agnostic) == [tuple(row) for row in expected]


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("answer", post.ANSWER.itemsize),
        ("candidate", post.CANDIDATE.itemsize),
        ("tally", post.TALLY.itemsize),
        ("object", post.OBJECT.itemsize),
    ],
)
def test_both_sides_agree_on_the_layout(kernels_once: Kernels, name: str, size: int) -> None:
    assert kernels_once.size_of(name) == size


def test_both_sides_agree_on_the_capacity(kernels_once: Kernels) -> None:
    assert kernels_once.library.capacity() == post.CAPACITY
