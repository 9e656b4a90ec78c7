"""Real builds, as in test_tensorrt_rtx: layouts that no model at hand has, and batches of any size."""

from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from engines.tensorrt.builder import _use_timings
from engines.tensorrt.library import Library, open_library
from streamer.errors import ModelError
from tests.conftest import need
from tests.gpu.material import open_batch
from tests.integration.test_tensorrt_rtx import LAYOUTS, build_file, in_8_bits, small

SIDE, CELLS, CHANNELS, CLASSES, QUERIES = 64, 64, 16, 3, 20


@pytest.fixture(scope="module")
def library() -> Library:
    need(find_spec("tensorrt_rtx_bindings") is not None, "TensorRT-RTX (pip install '.[rtx]')")
    return open_library(("tensorrt_rtx_bindings",))


def node(kind: str, inputs: str, outputs: str, **attributes: Any) -> onnx.NodeProto:
    """Names are separated by spaces."""
    return helper.make_node(kind, inputs.split(), outputs.split(), name=outputs.split()[0], **attributes)


def picked(source: str, index: str, columns: str, target: str) -> list[onnx.NodeProto]:
    """Rows of (pictures, rows, columns) by their numbers (pictures, queries, 1)."""
    return [
        node("Tile", f"{index} {columns}", f"{target}_index"),
        node("GatherElements", f"{source} {target}_index", target, axis=1),
    ]


def head(channels: int) -> list[onnx.NodeProto]:
    """From images to `rows`, (pictures, cells, channels), by way of the feature map `features`."""
    return [
        node("Conv", "images stem", "strided", strides=[8, 8]),
        node("Relu", "strided", "features"),
        node("Conv", "features last", "answers"),
        node("Reshape", f"answers flat{channels}", "flattened"),
        node("Transpose", "flattened", "rows", perm=[0, 2, 1]),
        node("Split", "rows parts", "row_boxes row_scores", axis=2),
    ]


def most_likely() -> list[onnx.NodeProto]:
    """The rows with the best scores: `chosen`, (pictures, queries, 1)."""
    return [
        node("ReduceMax", "row_scores", "best", axes=[2], keepdims=0),
        node("TopK", "best queries", "best_scores best_rows", axis=1),
        node("Unsqueeze", "best_rows last_axis", "chosen"),
    ]


def rtdetr(outputs: int) -> list[onnx.NodeProto]:
    """Queries are chosen, look at the picture where they are and at each other, and become boxes and scores."""
    joined = [node("Sigmoid", "logits", "likely"), node("Concat", "boxes likely", "answer", axis=2)]
    return [
        *head(4 + CLASSES),
        *most_likely(),
        *picked("row_boxes", "chosen", "four", "anchors"),
        node("Sigmoid", "anchors", "places"),
        node("Split", "places halves", "centres extents", axis=2),
        node("Mul", "centres two", "doubled"),
        node("Sub", "doubled one", "centred"),
        node("Unsqueeze", "centred row_axis", "grid"),
        node("GridSample", "features grid", "sampled", align_corners=0, mode="bilinear", padding_mode="zeros"),
        node("Squeeze", "sampled sample_axis", "seen"),
        node("Transpose", "seen", "tokens", perm=[0, 2, 1]),
        node("MatMul", "tokens seen", "alike"),
        node("Softmax", "alike", "attention", axis=2),
        node("MatMul", "attention tokens", "mixed"),
        node("Add", "mixed tokens", "summed"),
        node("LayerNormalization", "summed ones zeros", "normalised", axis=-1),
        node("MatMul", "normalised to_box", "shift"),
        node("Add", "shift anchors", "moved"),
        node("Sigmoid", "moved", "boxes"),
        node("MatMul", "normalised to_class", "logits"),
        *(joined if outputs == 1 else ()),
    ]


def top_k() -> list[onnx.NodeProto]:
    """YOLOv10's and 26's end: the likeliest rows, then the likeliest of all their classes; corners, score, class."""
    return [
        *head(4 + CLASSES),
        *most_likely(),
        *picked("row_boxes", "chosen", "four", "boxes"),
        *picked("row_scores", "chosen", "classes", "scores"),
        node("Sigmoid", "scores", "likely"),
        node("Flatten", "likely", "every", axis=1),
        node("TopK", "every queries", "top top_numbers", axis=1),
        node("Mod", "top_numbers class_count", "kinds"),
        node("Div", "top_numbers class_count", "numbers"),
        node("Unsqueeze", "numbers last_axis", "numbers_column"),
        *picked("boxes", "numbers_column", "four", "corners"),
        node("Unsqueeze", "top last_axis", "score_column"),
        node("Unsqueeze", "kinds last_axis", "kind_column"),
        node("Cast", "kind_column", "kind_float", to=TensorProto.FLOAT),
        node("Concat", "corners score_column kind_float", "answer", axis=2),
    ]


# Their nodes, and columns by output.
NETWORKS = {
    "rtdetr": (rtdetr(1), {"answer": 4 + CLASSES}),
    "rtdetr of two outputs": (rtdetr(2), {"logits": CLASSES, "boxes": 4}),
    "top k": (top_k(), {"answer": 6}),
}


def network(path: Path, name: str, batch: int | str) -> Path:
    nodes, outputs = NETWORKS[name]
    random = np.random.default_rng(0)
    constants = {
        "stem": random.standard_normal((CHANNELS, 3, 8, 8), np.float32) / 10,
        "last": random.standard_normal((4 + CLASSES, CHANNELS, 1, 1), np.float32),
        "to_box": random.standard_normal((CHANNELS, 4), np.float32),
        "to_class": random.standard_normal((CHANNELS, CLASSES), np.float32),
        "ones": np.ones(CHANNELS, np.float32),
        "zeros": np.zeros(CHANNELS, np.float32),
        "one": np.float32(1),
        "two": np.float32(2),
        f"flat{4 + CLASSES}": np.array([0, 4 + CLASSES, CELLS]),
        "parts": np.array([4, CLASSES]),
        "halves": np.array([2, 2]),
        "four": np.array([1, 1, 4]),
        "classes": np.array([1, 1, CLASSES]),
        "class_count": np.array(CLASSES),
        "queries": np.array([QUERIES]),
        "row_axis": np.array([2]),
        "sample_axis": np.array([3]),
        "last_axis": np.array([2]),
    }
    used = {name for each in nodes for name in each.input}
    graph = helper.make_graph(
        nodes,
        "layout",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [batch, 3, SIDE, SIDE])],
        [
            helper.make_tensor_value_info(output, TensorProto.FLOAT, [batch, QUERIES, columns])
            for output, columns in outputs.items()
        ],
        [numpy_helper.from_array(np.asarray(value), each) for each, value in constants.items() if each in used],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.mark.parametrize("batch", [1, "batch"], ids=["one", "open"])
@pytest.mark.parametrize("precision", ["model", "fp16", "int8"])
@pytest.mark.parametrize("name", NETWORKS)
def test_layouts_of_transformers_and_of_the_likeliest_rows_build(
    library: Library, tmp_path: Path, name: str, precision: str, batch: int | str
) -> None:
    path = network(tmp_path / "m.onnx", name, batch)
    pictures = np.random.default_rng(1).random((1 if batch == 1 else 5, 3, SIDE, SIDE), np.float32)
    answers = onnxruntime.InferenceSession(path).run(None, {"images": pictures})
    assert [answer.shape[:2] for answer in answers] == [(len(pictures), QUERIES)] * len(answers)
    if precision == "int8":
        path = in_8_bits(path, tmp_path / "int8.onnx")
    options = {"best": 4} if batch != 1 else {}
    assert build_file(library, path, "fp16" if precision == "fp16" else "model", 8, **options).plan


@pytest.mark.parametrize("precision", ["model", "int8"])
@pytest.mark.parametrize("name", [each for each in LAYOUTS if each != "FastestDet"])  # whose reshapes fix the batch
def test_layouts_of_real_models_build_for_batches_of_any_size(
    library: Library, shared: Path, tmp_path: Path, name: str, precision: str
) -> None:
    path = tmp_path / "open.onnx"
    open_batch(shared / "models" / f"{name}.onnx", path)
    if precision == "int8":
        path = in_8_bits(path, tmp_path / "int8.onnx")
    assert build_file(library, path, "fp16" if precision == "model" else "model", 8, best=4).plan


def test_a_version_compatible_engine_is_asked_for(library: Library, tmp_path: Path) -> None:
    """TensorRT-RTX knows the flag, and lacks the runtime that goes into the plan, which it says."""
    with pytest.raises(ModelError, match="libnvinfer_lean"):
        build_file(library, small(tmp_path / "m.onnx"), version_compatible=True)


@pytest.mark.filterwarnings("ignore:.*[Tt]iming cache:DeprecationWarning")
@pytest.mark.parametrize("again", [False, True])
def test_a_timing_cache_is_taken_by_a_real_builder(library: Library, again: bool) -> None:
    """TensorRT-RTX has the calls, though they do nothing there. again: with what came out of the last build."""
    config = library.builder().create_builder_config()
    like_tensorrt = SimpleNamespace(__name__="tensorrt")
    timings = bytes(_use_timings(like_tensorrt, config, b"").serialize()) if again else b"of another version"
    assert bytes(_use_timings(like_tensorrt, config, timings).serialize())
    assert config.get_timing_cache() is not None
