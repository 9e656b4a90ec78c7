"""A teacher beside its pupil: the same answers as through the service's engine, and labels only where none are."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from engines.detector import open_detector
from engines.training.assigner import iou
from engines.training.batches import Batch
from engines.training.live_teacher import MOST, LiveTeacher
from engines.training.onnx_network import OnnxNetwork
from engines.training.teacher_network import TeacherNetwork
from streamer.errors import ModelError, UsageError
from streamer.settings import DetectSettings
from tests.unit.networks import rows, save

NAMES = ("person", "car", "motorcycle", "bus", "truck")
CPU = torch.device("cpu")
RANDOM = np.random.default_rng(0)


def floats(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype(np.float32)


def node(operator: str, *constants: np.ndarray, outputs: int = 1, **attributes: Any) -> onnx.GraphProto:
    """A graph of one operator on (1, 4, 6, 8)."""
    weights = [numpy_helper.from_array(each, f"w{number}") for number, each in enumerate(constants)]
    names = [f"y{number}" for number in range(outputs)]
    made = helper.make_node(operator, ["images", *(each.name for each in weights)], names, **attributes)
    given = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 4, 6, 8])
    found = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names]
    return helper.make_graph([made], "one", [given], found, weights)


def whole(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


@pytest.mark.parametrize(
    "graph",
    [
        node("Add", floats(4, 1, 1)),
        node("Concat", floats(1, 2, 6, 8), axis=1),
        node("Conv", floats(5, 4, 3, 3), floats(5), pads=[1, 1, 1, 1], strides=[2, 2]),
        node("Conv", floats(4, 1, 3, 3), pads=[0, 0, 1, 1], group=4),
        node("Div", floats(1)),
        node("Exp"),
        node("Gather", whole(2, 0, 1), axis=1),
        node("Gather", np.array(1, np.int64), axis=2),
        node("HardSigmoid", alpha=0.3),
        node("Identity"),
        node("LeakyRelu", alpha=0.1),
        node("MaxPool", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("MaxPool", kernel_shape=[2, 2], strides=[2, 2], pads=[0, 0, 1, 1]),
        node("Mul", floats(1, 4, 1, 1)),
        node("Relu"),
        node("Reshape", whole(1, 8, -1)),
        node("Resize", floats(0), np.array([1, 1, 2, 2], np.float32), coordinate_transformation_mode="asymmetric",
             nearest_mode="floor"),
        node("Resize", floats(0), np.array([1, 1, 2, 2], np.float32), mode="linear"),
        node("Sigmoid"),
        node("Slice", whole(1, 0), whole(1 << 62, -1), whole(2, 3), whole(2, 1)),
        node("Softmax", axis=1),
        node("Split", whole(1, 3), outputs=2, axis=1),
        node("Sub", floats(1)),
        node("Transpose", perm=[0, 2, 3, 1]),
    ],
    ids=lambda graph: graph.node[0].op_type,
)  # fmt: skip
def test_operators_are_those_of_the_runtime(graph: onnx.GraphProto, tmp_path: Path) -> None:
    save(graph, tmp_path / "one.onnx")
    given = floats(1, 4, 6, 8)
    session = onnxruntime.InferenceSession(str(tmp_path / "one.onnx"), providers=["CPUExecutionProvider"])
    network = OnnxNetwork(tmp_path / "one.onnx", CPU)
    for wanted, found in zip(session.run(None, {"images": given}), network(torch.from_numpy(given)), strict=True):
        np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-4, atol=1e-5)


def test_operators_that_are_not_known_are_named(tmp_path: Path) -> None:
    save(node("Det"), tmp_path / "one.onnx")
    with pytest.raises(ModelError, match="it uses Det, which is run once only: --distil once"):
        OnnxNetwork(tmp_path / "one.onnx", CPU)


@pytest.mark.shared
@pytest.mark.parametrize("name", ["yolox_nano", "yolox_nano_as_v5", "yolox_nano_as_v8"])
def test_a_whole_batch_gives_what_the_detector_gives_one_by_one(shared: Path, name: str) -> None:
    file = shared / "models" / f"{name}.onnx"
    clip = cv2.VideoCapture(str(shared / "videos" / "people_street_720p.mp4"))
    pictures = [cv2.resize(clip.read()[1], (416, 416))[..., ::-1] for _ in range(2)]
    detector = open_detector(DetectSettings(model=str(file), confidence=0.3, iou=0.6), threads=1)
    ordered = [np.ascontiguousarray(p if detector.model.colour == "RGB" else p[..., ::-1]) for p in pictures]
    images = torch.from_numpy(np.stack(pictures).transpose(0, 3, 1, 2) / np.float32(255))
    boxes, scores, classes = LiveTeacher(TeacherNetwork(file, NAMES, CPU)).find(images)
    for number, wanted in enumerate(detector.detect_pictures(ordered)):
        known = [index for index, kind in enumerate(wanted.classes) if detector.model.classes[kind] in NAMES]
        assert known
        for index in known:
            mine = classes[number] == NAMES.index(detector.model.classes[wanted.classes[index]])
            overlaps = iou(torch.from_numpy(wanted.boxes[index]), boxes[number]) * mine * (scores[number] > 0)
            assert overlaps.max() > 0.98
            assert scores[number][overlaps.argmax()].item() == pytest.approx(wanted.scores[index], abs=0.01)


@pytest.fixture(scope="module")
def teacher_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Finds a person of .9 and a bus of .4, the bus twice, in every picture of 64 pixels."""
    answer = rows(
        (16, 16, 16, 16, 0.9, 0, 0), (40, 40, 24, 24, 0, 0, 0.4), (41, 40, 24, 24, 0, 0, 0.3), count=84, width=7
    ).transpose(0, 2, 1)
    path = tmp_path_factory.mktemp("teacher") / "teacher.onnx"
    weights = [numpy_helper.from_array(np.ascontiguousarray(answer), "answer")]
    weights += [numpy_helper.from_array(whole(1, 3, 1), "shape"), numpy_helper.from_array(whole(0), "first")]
    nodes = [
        helper.make_node("MaxPool", ["images"], ["most"], kernel_shape=[64, 64]),
        helper.make_node("Reshape", ["most", "shape"], ["flat"]),
        helper.make_node("Gather", ["flat", "first"], ["one"], axis=1),
        helper.make_node("Mul", ["one", "answer"], ["output0"]),
    ]
    given = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 64, 64])
    found = helper.make_tensor_value_info("output0", TensorProto.FLOAT, [1, 7, 84])
    metadata = {"names": "['person', 'dog', 'bus']", "head": "yolov8"}
    save(helper.make_graph(nodes, "constant", [given], [found], weights), path, metadata)
    return path


def batch(known: tuple[str, ...], boxes: list[list[float]], classes: list[int]) -> Batch:
    certain = torch.tensor([[[name in known for name in NAMES]]])
    count = len(classes)
    return Batch(
        torch.ones(1, 3, 64, 64), torch.tensor([boxes]), torch.tensor([classes]), torch.ones(1, count),
        torch.zeros(1, count, dtype=torch.bool), torch.tensor([[[0.0, 0.0, 64.0, 64.0]]]), certain,
        torch.ones(1, 1, dtype=torch.bool),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("known", "hand", "wanted"),
    [
        ((), [0.0, 0.0, 4.0, 4.0], [(0, 0.9), (3, 0.4)]),
        (("person",), [0.0, 0.0, 4.0, 4.0], [(3, 0.4)]),
        (NAMES, [0.0, 0.0, 4.0, 4.0], []),
        ((), [28.0, 28.0, 52.0, 50.0], [(0, 0.9)]),
    ],
    ids=["nothing is labelled", "persons are", "all is", "there is a label already"],
)
def test_labels_are_added_where_there_are_none(
    teacher_file: Path, known: tuple[str, ...], hand: list[float], wanted: list[tuple[int, float]]
) -> None:
    taught = LiveTeacher(TeacherNetwork(teacher_file, NAMES, CPU)).taught(batch(known, [hand], [4]))
    assert taught.boxes.shape == (1, 1 + MOST, 4)
    new = [(int(k), s) for k, s in zip(taught.classes[0, 1:], taught.scores[0, 1:].tolist(), strict=True) if k >= 0]
    assert new == [(kind, pytest.approx(score)) for kind, score in wanted]
    assert taught.classes[0, 0] == 4


def test_a_teacher_of_other_things_is_of_no_use(teacher_file: Path) -> None:
    with pytest.raises(UsageError, match="has none of the classes cat: it can't teach them"):
        TeacherNetwork(teacher_file, ("cat",), CPU)
