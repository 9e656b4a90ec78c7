"""A model file put to use: settings, batches, precisions, engines, and what is said of files that can't be used."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from engines.detector import Detector, open_detector
from streamer.errors import ModelError, UsageError
from streamer.settings import DetectSettings
from tests.unit.networks import constant_network, rows, save

SIZE = 64
NAMES = {"names": "{0: 'cat', 1: 'dog'}", "stride": "32", "task": "detect", "imgsz": "[64, 64]"}
Opener = Callable[..., Detector]


def v8(*objects: tuple[float, ...]) -> dict[str, NDArray[np.float32]]:
    """Centre x, centre y, width, height, cat, dog each; the other boxes are nothing."""
    table = rows(*objects, count=84, width=6)
    return {"output0": np.ascontiguousarray(table.transpose(0, 2, 1))}


CAT, SAME_CAT, SAME_DOG = (32, 32, 16, 16, 0.9, 0), (33, 32, 16, 16, 0.6, 0), (32, 33, 16, 16, 0, 0.7)
SMALL_DOG = (8, 32, 6, 6, 0, 0.3)


@pytest.fixture
def opened(tmp_path: Path) -> Opener:
    """Opens a network that answers with the given boxes."""

    def make(*objects: tuple[float, ...], shape: Any = (1, 3, SIZE, SIZE), **settings: Any) -> Detector:
        path = constant_network(tmp_path / "m.onnx", v8(*objects), shape, NAMES)
        return open_detector(DetectSettings(model=str(path), **settings), threads=1)

    return make


def picture(width: int = SIZE, height: int = SIZE) -> NDArray[np.uint8]:
    return np.zeros((height, width, 3), np.uint8)


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({}, ["cat 0.9", "dog 0.7", "dog 0.3"]),
        ({"confidence": 0.31}, ["cat 0.9", "dog 0.7"]),
        ({"confidence": 0.95}, []),
        ({"class_confidence": {"dog": 0.5}}, ["cat 0.9", "dog 0.7"]),
        ({"class_confidence": {"dog": 0.2}, "confidence": 0.95}, ["dog 0.7", "dog 0.3"]),
        ({"classes": ("dog",)}, ["dog 0.7", "dog 0.3"]),
        ({"agnostic_nms": True}, ["cat 0.9", "dog 0.3"]),
        ({"iou": 0.99}, ["cat 0.9", "dog 0.7", "cat 0.6", "dog 0.3"]),
        ({"max_objects": 1}, ["cat 0.9"]),
    ],
)
def test_selection(opened: Opener, settings: dict[str, Any], found: list[str]) -> None:
    detector = opened(CAT, SAME_CAT, SAME_DOG, SMALL_DOG, **settings)
    [result] = detector.detect_pictures([picture()])
    names = [detector.model.classes[kind] for kind in result.classes]
    assert [f"{name} {score:.1f}" for name, score in zip(names, result.scores, strict=True)] == found


@pytest.mark.parametrize(
    ("file", "settings", "cats"), [(None, None, 1), ("0.9", None, 2), ("0.9", 0.5, 1), ("1", 0.9, 2)]
)
def test_what_is_one_object_is_said_by_the_settings_or_the_file(
    tmp_path: Path, file: str | None, settings: float | None, cats: int
) -> None:
    """The boxes share .88 of both."""
    metadata = {**NAMES, **({"iou": file} if file else {})}
    path = constant_network(tmp_path / "m.onnx", v8(CAT, SAME_CAT), metadata=metadata)
    detector = open_detector(DetectSettings(model=str(path), iou=settings), threads=1)
    [result] = detector.detect_pictures([picture()])
    assert len(result) == cats


@pytest.mark.parametrize(
    ("file", "settings", "found"),
    [
        (None, {}, [0.9, 0.3]),
        ("0.4", {}, [0.9]),
        ("0.4", {"confidence": 0.2}, [0.9, 0.3, 0.22]),
        ("0.4", {"confidence": 0.0}, [0.9, 0.3, 0.22]),
        ("0.95", {"class_confidence": {"dog": 0.3}}, [0.3]),
    ],
)
def test_the_least_score_is_said_by_the_settings_or_the_file(
    tmp_path: Path, file: str | None, settings: dict[str, Any], found: list[float]
) -> None:
    metadata = {**NAMES, **({"confidence": file} if file else {})}
    faint = (16, 16, 8, 8, 0.22, 0)
    path = constant_network(tmp_path / "m.onnx", v8(CAT, SMALL_DOG, faint), metadata=metadata)
    detector = open_detector(DetectSettings(model=str(path), **settings), threads=1)
    [result] = detector.detect_pictures([picture()])
    assert result.scores.round(2).tolist() == pytest.approx(found)


@pytest.mark.parametrize(("agnostic", "classes"), [(False, [0, 1, 0]), (True, [0])])
def test_end_to_end_networks_decide_what_overlaps_unless_classes_shall_compete(
    tmp_path: Path, agnostic: bool, classes: list[int]
) -> None:
    objects = [(8, 8, 40, 40, 0.6, 0), (8, 8, 40, 41, 0.9, 0), (9, 8, 40, 40, 0.8, 1)]
    path = constant_network(tmp_path / "m.onnx", {"o": rows(*objects, count=30, width=6)}, metadata=NAMES)
    detector = open_detector(DetectSettings(model=str(path), agnostic_nms=agnostic), threads=1)
    [found] = detector.detect_pictures([picture()])
    assert found.classes.tolist() == classes


def test_boxes_are_in_the_pixels_of_the_whole_picture_and_inside_of_it(opened: Opener) -> None:
    detector = opened((32, 32, 16, 8, 0.9, 0), (0, 32, 20, 8, 0.8, 0), (32, 2, 8, 8, 0.7, 0), max_objects=9)
    batch = detector.new_batch(1)
    placement = detector.prepare(picture(64, 32), (640, 320), batch[0])
    [result] = detector.detect(batch, [placement])
    # The third lies in the border.
    np.testing.assert_allclose(result.boxes, [[240, 120, 400, 200], [0, 120, 100, 200]], atol=1e-3)


@pytest.mark.parametrize(("shape", "batch"), [((1, 3, 64, 64), 1), ((3, 3, 64, 64), 3), (("n", 3, "h", "w"), 1)])
@pytest.mark.parametrize("pictures", [0, 1, 2, 3, 7])
@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_batches(opened: Opener, engine: str, shape: Any, batch: int, pictures: int) -> None:
    if engine == "openvino":
        pytest.importorskip("openvino")
    detector = opened(CAT, shape=shape, engine=engine)
    assert detector.batch == batch
    assert detector.engine.input.fixed_batch == isinstance(shape[0], int)
    found = detector.detect_pictures([picture(64 * (number + 1), 64) for number in range(pictures)])
    assert [len(each) for each in found] == [1] * pictures
    for number, each in enumerate(found):
        width = 16 * (number + 1)
        assert each.boxes[0, 2] - each.boxes[0, 0] == pytest.approx(width, abs=0.01)


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_batch_of_the_settings_where_the_file_leaves_it_open(opened: Opener, engine: str) -> None:
    if engine == "openvino":
        pytest.importorskip("openvino")
    detector = opened(CAT, shape=("n", 3, 64, 64), batch=4, engine=engine)
    assert detector.batch == 4
    assert len(detector.detect_pictures([picture()] * 6)) == 6


@pytest.mark.parametrize("first_axis", [2, "n"])
@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_pictures_of_a_batch_do_not_mix(tmp_path: Path, engine: str, first_axis: int | str) -> None:
    if engine == "openvino":
        pytest.importorskip("openvino")
    path = constant_network(
        tmp_path / "m.onnx", v8((32, 32, 16, 16, 1, 0)), (first_axis, 3, 64, 64), NAMES, brightness=True
    )
    detector = open_detector(DetectSettings(model=str(path), engine=engine, batch=2), threads=1)
    pictures = [np.full_like(picture(), value) for value in (255, 204, 153)]

    found = detector.detect_pictures(pictures)

    for each, brightness in zip(found, (1, 0.8, 0.6), strict=True):
        np.testing.assert_allclose(each.scores, [brightness], atol=1e-3)
        np.testing.assert_allclose(each.boxes, [np.array([24, 24, 40, 40]) * brightness], atol=1e-2)


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_a_batch_is_read_anew_wherever_it_lies(tmp_path: Path, engine: str) -> None:
    if engine == "openvino":
        pytest.importorskip("openvino")
    path = constant_network(tmp_path / "m.onnx", v8((32, 32, 16, 16, 1, 0)), metadata=NAMES, brightness=True)
    detector = open_detector(DetectSettings(model=str(path), engine=engine), threads=1)
    batches = detector.new_batch(2)
    for number, brightness in ((0, 255), (1, 153), (0, 204), (0, 102)):
        slots = batches[number : number + 1]
        placement = detector.prepare(np.full_like(picture(), brightness), (SIZE, SIZE), slots[0])
        [found] = detector.detect(slots, [placement])
        np.testing.assert_allclose(found.scores, [brightness / 255], atol=1e-3)


@pytest.mark.parametrize(("limit", "strength"), [("1", 1.0), ("255", 1 / 255)])
def test_openvino_takes_bytes_and_scales_them_itself(tmp_path: Path, limit: str, strength: float) -> None:
    pytest.importorskip("openvino")
    answer = {name: each * np.float32(strength) for name, each in v8((32, 32, 16, 16, 1, 0)).items()}
    path = constant_network(tmp_path / "m.onnx", answer, metadata={**NAMES, "range": limit}, brightness=True)
    detector = open_detector(DetectSettings(model=str(path), engine="openvino"), threads=1)
    batch = detector.new_batch(1)
    assert (batch.dtype, batch.shape) == (np.uint8, (1, SIZE, SIZE, 3))
    assert (batch == 114).all()
    [found] = detector.detect_pictures([np.full_like(picture(), 204)])
    np.testing.assert_allclose(found.scores, [0.8], atol=1e-6)


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_sixteen_bit_inputs_and_outputs(tmp_path: Path, engine: str) -> None:
    if engine == "openvino":
        pytest.importorskip("openvino")
    path = constant_network(tmp_path / "m.onnx", v8(CAT), metadata=NAMES, dtype=TensorProto.FLOAT16)
    detector = open_detector(DetectSettings(model=str(path), engine=engine), threads=1)
    assert detector.new_batch(1).dtype == np.float16
    [found] = detector.detect_pictures([picture()])
    np.testing.assert_allclose(found.boxes, [[24, 24, 40, 40]], atol=0.01)


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_not_found(opened: Opener, broken: float) -> None:
    good = (8, 8, 8, 8, 0.8, 0)
    boxes = [tuple(broken if k == n else v for k, v in enumerate(CAT)) for n in range(6)]
    [found] = opened(good, *boxes).detect_pictures([picture()])
    assert np.isfinite(found.boxes).all()
    assert np.isfinite(found.scores).all()
    assert found.boxes[0].tolist() in ([4, 4, 12, 12], [24, 24, 40, 40])


def test_the_same_file_in_several_threads_is_loaded_once(opened: Opener) -> None:
    first, second = opened(CAT), opened(CAT)
    assert first.engine._session is second.engine._session  # type: ignore[attr-defined]
    first.close()
    assert len(second.detect_pictures([picture()])[0]) == 1


def test_what_a_call_took(opened: Opener) -> None:
    detector = opened(CAT)
    detector.detect_pictures([picture()] * 3)
    assert detector.times.network > 0
    assert detector.times.network_cpu >= 0
    assert detector.times.boxes > 0


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({}, ("class 0", "class 1")),
        ({"names": "{0: 'cat', 1: 'dog'}"}, ("cat", "dog")),
        ({"names": "['cat', 'dog']"}, ("cat", "dog")),
        ({"names": '{"1": "dog", "0": "cat"}'}, ("cat", "dog")),
        ({"names": '["cat", "dog"]'}, ("cat", "dog")),
    ],
)
def test_class_names(tmp_path: Path, metadata: dict[str, str], expected: tuple[str, ...]) -> None:
    path = constant_network(tmp_path / "m.onnx", v8(CAT), metadata=metadata)
    assert open_detector(DetectSettings(model=str(path)), threads=1).model.classes == expected


def test_the_file_may_say_how_it_wants_pictures(tmp_path: Path) -> None:
    metadata = {"colour": "BGR", "range": "255", "padding": "top-left"}
    path = constant_network(tmp_path / "m.onnx", v8(CAT), metadata=metadata)
    detector = open_detector(DetectSettings(model=str(path)), threads=1)
    assert (detector.model.colour, detector.model.factor, detector.model.padding) == ("BGR", 1.0, "top-left")
    assert detector.new_batch(1)[0, 0, 0, 0] == 114
    told = open_detector(DetectSettings(model=str(path), padding="centre"), threads=1)
    assert told.model.padding == "centre"


@pytest.mark.parametrize(
    ("answers", "shape", "metadata", "settings", "words"),
    [
        (v8(CAT), (1, 3, 64, 64), {"names": "['cat']"}, {"head": "yolov8"}, "names 1 classes and its outputs have 2"),
        (v8(CAT), (1, 3, 64, 64), {"names": "not python"}, {}, "metadata names is not a list, or a table"),
        (v8(CAT), (1, 3, 64, 64), {"names": "{1: 'cat'}"}, {}, "no name for each number"),
        (v8(CAT), (1, 3, 64, 64), {"names": "7"}, {}, "metadata names is not a list"),
        (v8(CAT), (1, 3, 64, 64), {"colour": "YUV"}, {}, "metadata colour is 'YUV', not one of RGB, BGR"),
        (v8(CAT), (1, 3, 64, 64), {"iou": "1.5"}, {}, "metadata iou is 1.5, not above 0 and at most 1"),
        (v8(CAT), (1, 3, 64, 64), {"confidence": "25"}, {}, "metadata confidence is 25, not above 0 and at most 1"),
        (v8(CAT), (1, 3, 64, 64), {"iou": "half"}, {}, "metadata iou is not a number"),
        (v8(CAT), (1, 3, "h", "w"), {}, {}, "size is open; export it for a fixed one"),
        (v8(CAT), (1, 3, "h", "w"), {"imgsz": "[64]"}, {}, "metadata imgsz is"),
        (v8(CAT), (1, 64, 64, 3), {}, {}, r"not \(pictures, 3, height, width\)"),
        (v8(CAT), (1, 1, 64, 64), {}, {}, r"not \(pictures, 3, height, width\)"),
        (v8(CAT), (1, 3, 64), {}, {}, r"not \(pictures, 3, height, width\)"),
        ({"o": rows(count=1, width=1000)[0]}, (1, 3, 64, 64), {}, {}, "looks like a classifier"),
        ({"o": rows(count=50, width=7)}, (1, 3, 64, 64), {}, {}, "no head knows the layout of its outputs 1x50x7"),
        (v8(CAT), (1, 3, 64, 64), {}, {"head": "fastestdet"}, "head fastestdet can't read outputs 1x6x84"),
        (v8(CAT), (1, 3, 64, 64), {}, {"head": "yolov9"}, "no head is called 'yolov9'"),
    ],
)
def test_files_that_can_not_be_used(
    tmp_path: Path, answers: Any, shape: Any, metadata: dict[str, str], settings: dict[str, str], words: str
) -> None:
    path = constant_network(tmp_path / "m.onnx", answers, shape, metadata)
    with pytest.raises(ModelError, match=words) as raised:
        open_detector(DetectSettings(model=str(path), **settings), threads=1)  # type: ignore[arg-type]
    assert str(raised.value).startswith(f"{path}: ")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"model": ""}, "no model is named"),
        ({"engine": "tensorflow"}, "no engine is called 'tensorflow'; installed are: onnxruntime, openvino"),
        ({"classes": ("doge",)}, "has no class 'doge'; did you mean dog"),
        ({"class_confidence": {"xyz": 0.5}}, "has no class 'xyz'; `streamer model inspect`"),
    ],
)
def test_wrong_settings(tmp_path: Path, settings: dict[str, Any], words: str) -> None:
    path = constant_network(tmp_path / "m.onnx", v8(CAT), metadata=NAMES)
    with pytest.raises(UsageError, match=words):
        open_detector(DetectSettings(**{"model": str(path), **settings}), threads=1)


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_operators_that_no_engine_has(tmp_path: Path, engine: str) -> None:
    if engine == "openvino":
        pytest.importorskip("openvino")
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 64, 64])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 84, 84])
    graph = helper.make_graph([helper.make_node("Magic", ["x"], ["y"], domain="acme")], "g", [value], [out])
    save(graph, tmp_path / "m.onnx", opsets=[helper.make_opsetid("acme", 1)])
    with pytest.raises(ModelError, match=r"operators that \w+ ?\w* doesn't have \(acme\.Magic\)"):
        open_detector(DetectSettings(model=str(tmp_path / "m.onnx"), engine=engine), threads=1)


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_a_graph_that_does_not_hold_together(tmp_path: Path, engine: str) -> None:
    if engine == "openvino":
        pytest.importorskip("openvino")
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 64, 64])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 84, 84])
    graph = helper.make_graph([helper.make_node("Relu", ["nowhere"], ["y"])], "g", [value], [out])
    save(graph, tmp_path / "m.onnx")
    with pytest.raises(ModelError, match="can't run it, the file is damaged") as raised:
        open_detector(DetectSettings(model=str(tmp_path / "m.onnx"), engine=engine), threads=1)
    assert "\n" not in str(raised.value)


def test_two_inputs(tmp_path: Path) -> None:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 64, 64]) for name in ("images", "size")]
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3, 64, 64])
    save(
        helper.make_graph([helper.make_node("Add", ["images", "size"], ["y"])], "g", values, [out]), tmp_path / "m.onnx"
    )
    with pytest.raises(ModelError, match=r"it has 2 inputs \(images, size\)"):
        open_detector(DetectSettings(model=str(tmp_path / "m.onnx")), threads=1)
