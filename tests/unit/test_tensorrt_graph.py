"""What TensorRT is given instead of a model, and which models are refused before."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper, shape_inference

from engines.onnx_file import OnnxFile, read_onnx
from engines.tensorrt.graph import Prepared, prepare
from streamer.errors import ModelError

BOXES, CLASSES = 21, 3


def save(nodes: Sequence[Any], weights: Any, path: Path, outputs: Sequence[str], batch: int | str = 1) -> OnnxFile:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [batch, 3, 8, BOXES])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    for output, inferred in zip(model.graph.output, shape_inference.infer_shapes(model).graph.output, strict=True):
        output.CopyFrom(inferred)
    helper.set_model_props(model, {"names": str(["a", "b", "c"])})
    onnx.save(model, str(path))
    return read_onnx(path)


def run(model: bytes | str, picture: NDArray[np.float32]) -> list[NDArray[Any]]:
    session = onnxruntime.InferenceSession(model)
    found: list[NDArray[Any]] = session.run(None, {session.get_inputs()[0].name: picture})
    return found


def picture(pictures: int = 1) -> NDArray[np.float32]:
    return np.random.default_rng(0).random((pictures, 3, 8, BOXES), np.float32)


def network(kind: str) -> tuple[list[Any], dict[str, Any]]:
    """From `images` to `corners` (pictures, boxes, 4), `centred` alike, `probabilities` (pictures, classes, boxes).

    A box per column of the picture: its rows are left, top, width, height and class probabilities.
    """
    weights: dict[str, Any] = {
        "split": np.array([2, 2, CLASSES, 24 - 4 - CLASSES], np.int64),
        "flat": np.array([0, -1, BOXES], np.int64),
        "half": np.array(0.5, np.float32),
    }
    nodes = [
        helper.make_node("Reshape", ["images", "flat"], ["all"]),
        helper.make_node("Split", ["all", "split"], ["first", "extent", "probabilities", "unused"], axis=1),
        helper.make_node("Add", ["first", "extent"], ["last"]),
        helper.make_node("Mul", ["extent", "half"], ["radius"]),
        helper.make_node("Add", ["first", "radius"], ["middle"]),
        helper.make_node("Concat", ["first", "last"], ["corner_rows"], axis=1),
        helper.make_node("Transpose", ["corner_rows"], ["corners"], perm=[0, 2, 1]),
        helper.make_node("Concat", ["middle", "extent"], ["centred_rows"], axis=1),
        helper.make_node("Transpose", ["centred_rows"], ["centred"], perm=[0, 2, 1]),
    ]
    if kind == "whole":
        nodes.append(helper.make_node("Concat", ["centred_rows", "probabilities"], ["whole"], axis=1))
    return nodes, weights


def with_nms(path: Path, kind: str, batch: int | str = 1) -> OnnxFile:
    """A model that ends in NMS in one of the usual ways."""
    nodes, weights = network(kind)
    weights |= {"most": np.array([9], np.int64), "iou": np.array([0.5], np.float32), "two": np.array(2, np.int64)}
    limits = ["most", "iou"]
    match kind:
        case "rows":  # boxes moved apart by class, finished rows chosen
            weights["far"] = np.array(99, np.float32)
            nodes += [
                helper.make_node("ReduceMax", ["probabilities"], ["best"], axes=[1], keepdims=1),
                helper.make_node("ArgMax", ["probabilities"], ["number"], axis=1, keepdims=1),
                helper.make_node("Cast", ["number"], ["kind"], to=TensorProto.FLOAT),
                helper.make_node("Mul", ["kind", "far"], ["away"]),
                helper.make_node("Add", ["corner_rows", "away"], ["moved_rows"]),
                helper.make_node("Transpose", ["moved_rows"], ["moved"], perm=[0, 2, 1]),
                helper.make_node("NonMaxSuppression", ["moved", "best", *limits], ["chosen"]),
                helper.make_node("Concat", ["corner_rows", "best", "kind"], ["six"], axis=1),
                helper.make_node("Transpose", ["six"], ["rows_of_six"], perm=[0, 2, 1]),
                helper.make_node("Gather", ["chosen", "two"], ["index"], axis=1),
                helper.make_node("Gather", ["rows_of_six", "index"], ["answer"], axis=1),
            ]
        case "corners" | "centred" | "swapped":
            attributes = {"center_point_box": 1} if kind == "centred" else {}
            given = {"corners": "corners", "centred": "centred", "swapped": "turned"}[kind]
            weights["order"] = np.array([1, 0, 3, 2], np.int64)
            nodes += [
                helper.make_node("Gather", ["corners", "order"], ["turned"], axis=2),
                helper.make_node("NonMaxSuppression", [given, "probabilities", *limits], ["chosen"], **attributes),
                helper.make_node("Gather", ["chosen", "two"], ["index"], axis=1),
                helper.make_node("Gather", [given if kind == "centred" else "corners", "index"], ["answer"], axis=1),
            ]
        case "whole":  # Ultralytics: what is likely enough is picked out first, so sizes depend on the picture
            nodes += [
                helper.make_node("Transpose", ["whole"], ["each"], perm=[0, 2, 1]),
                helper.make_node("NonZero", ["each"], ["where"]),
                helper.make_node("Transpose", ["where"], ["turned"]),
                helper.make_node("GatherND", ["each", "turned"], ["picked"]),
                helper.make_node("Reshape", ["picked", "again"], ["boxes_again"]),
                helper.make_node("Slice", ["boxes_again", "zero", "four", "two_"], ["boxes"]),
                helper.make_node("Slice", ["boxes_again", "four", "end", "two_"], ["picked_scores"]),
                helper.make_node("Transpose", ["picked_scores"], ["scores"], perm=[0, 2, 1]),
                helper.make_node("NonMaxSuppression", ["boxes", "scores", *limits], ["chosen"]),
                helper.make_node("Cast", ["chosen"], ["answer"], to=TensorProto.FLOAT),
            ]
            weights |= {"again": np.array([1, BOXES, 4 + CLASSES], np.int64), "two_": np.array([2], np.int64)}
            weights |= {"zero": np.array([0], np.int64), "four": np.array([4], np.int64)}
            weights["end"] = np.array([4 + CLASSES], np.int64)
    return save(nodes, weights, path, ["answer"], batch)


@pytest.mark.parametrize("kind", ["rows", "corners", "centred", "swapped", "whole"])
def test_nms_is_cut_off_and_all_boxes_are_left(tmp_path: Path, kind: str) -> None:
    prepared = prepare(with_nms(tmp_path / "m.onnx", kind))

    assert prepared.head == "yolov8"
    assert "NMS was cut off" in prepared.changes[0]
    model = onnx.load_from_string(prepared.model)
    assert not {"NonMaxSuppression", "NonZero", "GatherND"} & {node.op_type for node in model.graph.node}
    [answer] = run(prepared.model, picture())
    plain = picture().reshape(1, -1, BOXES)
    extent, scores = plain[:, 2:4], plain[:, 4 : 4 + CLASSES]
    if kind == "rows":
        scores = np.where(scores == scores.max(axis=1, keepdims=True), scores, 0)
    np.testing.assert_allclose(answer[:, :2], plain[:, :2] + extent / 2, atol=1e-6)
    np.testing.assert_allclose(answer[:, 2:4], extent, atol=1e-6)
    np.testing.assert_allclose(answer[:, 4:], scores, atol=1e-6)
    assert [[each.dim_value for each in model.graph.output[0].type.tensor_type.shape.dim]] == [[1, 4 + CLASSES, BOXES]]


def test_the_batch_stays_open(tmp_path: Path) -> None:
    prepared = prepare(with_nms(tmp_path / "m.onnx", "corners", "batch"))
    [answer] = run(prepared.model, picture(5))
    assert answer.shape == (5, 4 + CLASSES, BOXES)


def test_what_nobody_needs_any_more_is_dropped(tmp_path: Path) -> None:
    model = onnx.load_from_string(prepare(with_nms(tmp_path / "m.onnx", "rows")).model)
    assert not {"iou", "most", "two", "far"} & {weight.name for weight in model.graph.initializer}
    assert {key.key for key in model.metadata_props} == {"names"}


@pytest.mark.parametrize("why", ["one score for all classes", "boxes picked out before"])
def test_nms_that_cannot_be_cut_off_is_refused(tmp_path: Path, why: str) -> None:
    nodes, weights = network("")
    weights |= {"most": np.array([9], np.int64), "again": np.array([1, BOXES, 4], np.int64)}
    boxes, scores = "corners", "best"
    if why == "boxes picked out before":
        boxes, scores = "boxes", "probabilities"
    nodes += [
        helper.make_node("ReduceMax", ["probabilities"], ["best"], axes=[1], keepdims=1),
        helper.make_node("NonZero", ["corners"], ["where"]),
        helper.make_node("Transpose", ["where"], ["turned"]),
        helper.make_node("GatherND", ["corners", "turned"], ["picked"]),
        helper.make_node("Reshape", ["picked", "again"], ["boxes"]),
        helper.make_node("NonMaxSuppression", [boxes, scores, "most"], ["chosen"], name="nms_7"),
        helper.make_node("Cast", ["chosen"], ["answer"], to=TensorProto.FLOAT),
    ]
    file = save(nodes, weights, tmp_path / "m.onnx", ["answer"])
    with pytest.raises(ModelError, match=r"NonMaxSuppression node nms_7 .* nms=False"):
        prepare(file)


def test_other_models_stay_as_they_are(tmp_path: Path) -> None:
    nodes, weights = network("whole")
    prepared = prepare(save(nodes, weights, tmp_path / "m.onnx", ["whole"]))
    assert prepared == Prepared(prepared.model, None, ())
    np.testing.assert_array_equal(run(prepared.model, picture())[0], run(str(tmp_path / "m.onnx"), picture())[0])


def quantised(path: Path, zero: Any, bias: bool = False, operator: str = "") -> OnnxFile:
    weights = {
        "scale": np.array(0.02, np.float32),
        "zero": zero,
        "bias": np.array([1, 2, 3], np.int32),
        "bias_scale": np.array(0.1, np.float32),
        "shape": np.array([1, 3, 1, 1], np.int64),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["images", "scale", "zero"], ["small"], name="input_quantize"),
        helper.make_node("DequantizeLinear", ["small", "scale", "zero"], ["back"], name="input_back"),
    ]
    if operator:
        nodes = [helper.make_node(operator, ["images"], ["small", "s", "z"], name="dynamic")]
        nodes.append(helper.make_node("Cast", ["small"], ["back"], to=TensorProto.FLOAT))
    last = "back"
    if bias:
        nodes += [
            helper.make_node("DequantizeLinear", ["bias", "bias_scale"], ["bias_float"], name="bias_back"),
            helper.make_node("Reshape", ["bias_float", "shape"], ["bias_shaped"]),
            helper.make_node("Add", ["back", "bias_shaped"], ["sum"]),
        ]
        last = "sum"
    return save(nodes, weights, path, [last])


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"zero": np.array(0, np.uint8)}, "QuantizeLinear node input_quantize has unsigned 8-bit values"),
        ({"zero": np.array(-5, np.int8)}, "QuantizeLinear node input_quantize has a zero point, and TensorRT wants 0"),
        (
            {"zero": np.array(0, np.int8), "bias": True},
            "DequantizeLinear node bias_back has a quantised bias, and TensorRT wants biases in float",
        ),
        (
            {"zero": np.array(0, np.int8), "operator": "DynamicQuantizeLinear"},
            "DynamicQuantizeLinear node dynamic computes in integers of its own",
        ),
    ],
)
def test_8_bit_files_of_other_kinds_are_refused_by_node(tmp_path: Path, given: Any, says: str) -> None:
    file = quantised(tmp_path / "m.onnx", **given)
    with pytest.raises(ModelError) as caught:
        prepare(file)
    assert says in str(caught.value)
    assert "streamer export --precision int8" in str(caught.value)


def test_symmetric_8_bit_files_stay_as_they_are(tmp_path: Path) -> None:
    assert prepare(quantised(tmp_path / "m.onnx", np.array(0, np.int8)), "fp16").changes == ()


def test_half_precision_keeps_inputs_and_outputs(tmp_path: Path) -> None:
    nodes = [helper.make_node("Conv", ["images", "weights"], ["a"], name="first")]
    nodes.append(helper.make_node("Conv", ["a", "more"], ["answer"], name="second"))
    random = np.random.default_rng(1)
    weights = {"weights": random.random((8, 3, 3, 3), np.float32), "more": random.random((8, 8, 1, 1), np.float32)}
    prepared = prepare(save(nodes, weights, tmp_path / "m.onnx", ["answer"]), "fp16")

    model = onnx.load_from_string(prepared.model)
    assert prepared.changes == ("float16, but for the coordinates",)
    assert {each.type.tensor_type.elem_type for each in (*model.graph.input, *model.graph.output)} == {
        TensorProto.FLOAT
    }
    assert TensorProto.FLOAT16 in {weight.data_type for weight in model.graph.initializer}
    halved, whole = run(prepared.model, picture())[0], run(str(tmp_path / "m.onnx"), picture())[0]
    np.testing.assert_allclose(halved, whole, rtol=5e-3)
