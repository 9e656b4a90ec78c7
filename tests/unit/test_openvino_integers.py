"""INT8 files in OpenVINO: the same answer on every processor, as its kernels differ with what the processor has."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from engines import openvino_engine
from engines.engine import Engine
from engines.model import input_spec
from engines.onnx_file import OnnxFile, read_onnx
from engines.openvino_engine import OpenVinoEngine, open_engine
from streamer.errors import ModelError
from tests.unit.networks import save

pytest.importorskip("openvino")

SIDE = 16


class Builder:
    """A QDQ network of 3x3 convolutions; activations int8 or uint8 with a zero point of 0, weights int8."""

    def __init__(self, activations: type[np.generic], largest_weight: int) -> None:
        self.random = np.random.default_rng(1)
        self.largest = largest_weight
        self.nodes: list[onnx.NodeProto] = []
        self.weights = [numpy_helper.from_array(np.zeros((), activations), "zero")]

    def quantised(self, value: str, scale: float) -> str:
        self.weights.append(numpy_helper.from_array(np.float32(scale), f"{value}_scale"))
        rest = [f"{value}_scale", "zero"]
        self.nodes.append(helper.make_node("QuantizeLinear", [value, *rest], [f"{value}_q"]))
        self.nodes.append(helper.make_node("DequantizeLinear", [f"{value}_q", *rest], [f"{value}_dq"]))
        return f"{value}_dq"

    def convolution(self, value: str, name: str, channels: int, outputs: int) -> str:
        values = self.random.integers(-self.largest, self.largest + 1, (outputs, channels, 3, 3)).astype(np.int8)
        values[: outputs // 2] = abs(values[: outputs // 2])  # sums that need all their bits
        scales = np.full(outputs, 0.4 / self.largest / channels, np.float32)
        self.weights += [numpy_helper.from_array(values, f"{name}_w"), numpy_helper.from_array(scales, f"{name}_s")]
        self.nodes += [
            helper.make_node("DequantizeLinear", [f"{name}_w", f"{name}_s"], [f"{name}_dq"], axis=0),
            helper.make_node("Conv", [value, f"{name}_dq"], [f"{name}_c"], pads=[1] * 4),
            helper.make_node("Relu", [f"{name}_c"], [name]),
        ]
        return name

    def save(self, output: str, channels: int, path: Path) -> None:
        values = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, count, SIDE, SIDE])
            for name, count in (("images", 3), (output, channels))
        ]
        save(helper.make_graph(self.nodes, "qdq", values[:1], values[1:], self.weights), path)


@pytest.mark.parametrize(
    ("activations", "largest_weight"),
    [(np.int8, 127), (np.int8, 63), (np.uint8, 63)],
    ids=["signed", "7 bits", "unsigned"],
)
@pytest.mark.parametrize("branches", [1, 2])
def test_answers_as_the_standard_says(
    activations: type[np.generic], largest_weight: int, branches: int, tmp_path: Path
) -> None:
    network = Builder(activations, largest_weight)
    image = network.quantised("images", 1 / 127)
    both = [network.convolution(image, f"branch{number}", 3, 16) for number in range(branches)]
    network.nodes.append(helper.make_node("Concat", both, ["both"], axis=1))
    last = network.convolution(network.quantised("both", 0.01), "last", 16 * branches, 24)
    network.save(last, 24, tmp_path / "m.onnx")
    assert_right(tmp_path / "m.onnx")


def test_what_may_be_negative_stays_signed(tmp_path: Path) -> None:
    network = Builder(np.int8, 63)
    first = network.convolution(network.quantised("images", 1 / 127), "first", 3, 16)
    network.weights.append(numpy_helper.from_array(np.float32(0.5), "half"))
    network.nodes.append(helper.make_node("Sub", [first, "half"], ["shifted"]))
    last = network.convolution(network.quantised("shifted", 0.01), "last", 16, 24)
    network.save(last, 24, tmp_path / "m.onnx")
    assert_right(tmp_path / "m.onnx")


@pytest.fixture
def plain(tmp_path: Path) -> OnnxFile:
    """Of one convolution."""
    network = Builder(np.uint8, 63)
    network.save(network.convolution(network.quantised("images", 1 / 127), "last", 3, 24), 24, tmp_path / "m.onnx")
    return read_onnx(tmp_path / "m.onnx")


def open_plain(file: OnnxFile) -> OpenVinoEngine:
    engine = open_engine(file, input_spec(file), threads=1)
    assert isinstance(engine, OpenVinoEngine)
    return engine


def test_bytes_are_taken_where_they_are_answered_as_floats_are(plain: OnnxFile) -> None:
    engine = open_plain(plain)
    engine.take_bytes(1 / 255)
    assert engine.input.dtype == np.uint8


def test_floats_are_wanted_where_bytes_are_answered_otherwise(
    plain: OnnxFile, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    network = openvino_engine._network

    def blind(*arguments: Any) -> Any:
        *before, factor = arguments
        return network(*before, factor and factor * 1e-6)

    monkeypatch.setattr(openvino_engine, "_network", blind)
    engine = open_plain(plain)
    engine.take_bytes(1 / 255)
    assert "otherwise to bytes" in caplog.text
    assert_answers(engine, plain)


def test_a_network_of_bytes_that_is_refused_is_one_line_and_leaves_that_of_floats(
    plain: OnnxFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_plain(plain)

    def refused(*_: object) -> None:
        raise RuntimeError("no memory")

    monkeypatch.setattr(openvino_engine, "_network", refused)
    with pytest.raises(ModelError, match="no memory"):
        engine.take_bytes(1 / 255)
    assert_answers(engine, plain)


def assert_right(path: Path) -> None:
    file = read_onnx(path)
    assert_answers(open_engine(file, input_spec(file), threads=1), file)


def assert_answers(engine: Engine, file: OnnxFile) -> None:
    """As the standard says, to floats."""
    assert engine.input.dtype == np.float32
    picture = np.random.default_rng(2).random((1, 3, SIDE, SIDE), np.float32)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL  # no integer kernels
    session = onnxruntime.InferenceSession(str(file.path), options, providers=["CPUExecutionProvider"])
    [wanted] = session.run(None, {"images": picture})
    found: NDArray[np.float32] = engine.infer(picture)[0]
    assert np.abs(found - wanted).max() < 0.02 * np.abs(wanted).max()
    assert np.abs(wanted).max() > 0.1
