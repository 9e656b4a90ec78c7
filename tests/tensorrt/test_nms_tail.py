"""A model that ends in NMS: TensorRT gets it without, and the boxes are ONNX Runtime's all the same."""

import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from engines.detections import Detections
from engines.detector import open_detector
from engines.tensorrt import engine
from engines.tensorrt.detector import on_gpu
from streamer.settings import DetectSettings
from tests.tensorrt.rig import Rig

SIZE, CELLS = 64, 84
CAT, SAME_CAT, DOG = (24, 24, 40, 40, 0.9, 0), (25, 24, 41, 40, 0.6, 0), (5, 29, 11, 35, 0, 0.7)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Corners and scores of three boxes in any picture, NMS per class, and chosen rows: corners, score, class."""
    corners, scores = np.zeros((1, CELLS, 4), np.float32), np.zeros((1, 2, CELLS), np.float32)
    for cell, (*corner, cat, dog) in enumerate((CAT, SAME_CAT, DOG)):
        corners[0, cell], scores[0, :, cell] = corner, (cat, dog)
    constants = {
        "all_corners": corners, "all_scores": scores, "most": np.array([9], np.int64),
        "iou": np.array([0.5], np.float32), "least": np.array([0.25], np.float32), "none": np.zeros(1, np.float32),
        "axis": np.array([1], np.int64), "row": np.array([1, -1, 6], np.int64), "one": np.array(1, np.int64),
        "two": np.array(2, np.int64), "flat": np.array([-1], np.int64), "zero": np.array(0, np.int64),
    }  # fmt: skip
    node = helper.make_node
    nodes = [
        # Takes the input into the answer, and adds nothing to it.
        node("ReduceMax", ["images"], ["brightest"], axes=[0, 1, 2, 3], keepdims=0),
        node("Mul", ["brightest", "none"], ["nothing"]),
        node("Add", ["all_corners", "nothing"], ["corners"]),
        node("Add", ["all_scores", "nothing"], ["scores"]),
        node("NonMaxSuppression", ["corners", "scores", "most", "iou", "least"], ["chosen"]),
        node("Gather", ["chosen", "two"], ["cells"], axis=1),
        node("Gather", ["chosen", "one"], ["kinds"], axis=1),
        node("Gather", ["corners", "cells"], ["boxes"], axis=1),
        node("ReduceMax", ["scores"], ["best"], axes=[1], keepdims=0),
        node("Gather", ["best", "cells"], ["likely"], axis=1),
        node("Unsqueeze", ["likely", "column"], ["likely_column"]),
        node("Cast", ["kinds"], ["kinds_in_float"], to=TensorProto.FLOAT),
        node("Unsqueeze", ["kinds_in_float", "both"], ["kinds_column"]),
        node("Concat", ["boxes", "likely_column", "kinds_column"], ["answer"], axis=2),
    ]
    constants |= {"column": np.array([2], np.int64), "both": np.array([0, 2], np.int64)}
    graph = helper.make_graph(
        nodes,
        "nms",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, [1, "found", 6])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    helper.set_model_props(made, {"names": str(["cat", "dog"])})
    onnx.save(made, str(tmp_path / "nms.onnx"))
    return tmp_path / "nms.onnx"


@pytest.fixture
def simulated(rig_with_kernels: Rig, named: None, monkeypatch: pytest.MonkeyPatch) -> Rig:
    monkeypatch.setitem(sys.modules, "nvidia.nvimgcodec", None)  # type: ignore[arg-type]
    return rig_with_kernels


@pytest.mark.parametrize("head", ["auto", "end2end"])
def test_its_boxes_are_onnx_runtimes_whatever_head_is_named(simulated: Rig, model: Path, head: str) -> None:
    def found(by: str, named: str) -> Detections:
        settings = DetectSettings(model=str(model), engine=by, head=named, iou=0.5)
        with closing(open_detector(settings, threads=1)) as detector:
            return detector.detect_pictures([np.zeros((SIZE, SIZE, 3), np.uint8)])[0]

    expected = found("onnxruntime", "end2end")
    assert expected.classes.tolist() == [0, 1]
    for _ in range(2):  # built, then from the cache
        engine._networks.clear()
        answer = found("tensorrt", head)
        np.testing.assert_allclose(answer.boxes, expected.boxes, atol=1e-4)
        np.testing.assert_allclose(answer.scores, expected.scores, atol=1e-6)
        assert answer.classes.tolist() == [0, 1]


def test_kernels_take_its_nms_over(simulated: Rig, model: Path) -> None:
    settings = DetectSettings(model=str(model), engine="tensorrt", head="end2end")
    detector = open_detector(settings, threads=1)
    assert (detector.model.head, detector.model.reason) == (
        "yolov8",
        "the file ends in NMS, which is done behind the engine",
    )
    assert on_gpu(detector) is not None
