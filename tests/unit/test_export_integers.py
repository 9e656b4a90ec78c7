"""INT8 by quantised and dequantised values: the form that TensorRT takes, close to float32, bad layers left alone."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from engines.export.graph_reading import convolutions, last_convolutions, load_model, weights_of
from engines.export.integers import to_integers
from engines.export.qdq import quantised
from engines.export.ranges import activation_limits
from engines.export.sensitivity import damage
from streamer.errors import ModelError
from tests.unit.convolutions import LAYERS, convolutional

BATCHES = [np.random.default_rng(number).random((1, 3, 64, 64), np.float32) for number in range(4)]


@pytest.fixture
def model(tmp_path: Path) -> Any:
    return load_model(convolutional(tmp_path / "m.onnx", influence=1.0))


def answer(model: Any, batch: NDArray[np.float32]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found: NDArray[np.float32] = session.run(None, {"images": batch})[0]
    return found


def in_8_bits(model: Any, layers: Collection[str] = LAYERS) -> Any:
    values = {node.input[0] for node in convolutions(model).values()}
    return quantised(model, activation_limits(model, values, BATCHES), layers)


def test_symmetric_int8_everywhere_and_no_quantised_bias(model: Any) -> None:
    """What TensorRT demands; a uint8 value, a zero point or an int32 bias is refused by its parser."""
    graph = in_8_bits(model).graph
    constants = weights_of(in_8_bits(model))
    rounding = [node for node in graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert len(rounding) == 3 * 3  # per convolution: two for what goes in, one for the weights
    for node in rounding:
        zero = constants[node.input[2]]
        assert zero.dtype == np.int8
        assert not zero.any()
        assert (constants[node.input[1]] > 0).all()
    makers = {node.output[0]: node.op_type for node in graph.node}
    for node in graph.node:
        if node.op_type == "Conv":
            assert [makers.get(name) for name in node.input] == ["DequantizeLinear", "DequantizeLinear", None]
            assert constants[node.input[2]].dtype == np.float32


def test_weights_have_a_scale_per_output_channel(model: Any) -> None:
    changed = in_8_bits(model)
    constants = weights_of(changed)
    [node] = [node for node in changed.graph.node if node.output[0] == "second_weights"]
    assert [each.i for each in node.attribute if each.name == "axis"] == [0]
    steps, scales = constants[node.input[0]], constants[node.input[1]]
    assert steps.dtype == np.int8
    assert scales.shape == (16,)
    assert (abs(steps.astype(int)).reshape(16, -1).max(axis=1) == 127).all()
    whole = weights_of(model)["second_w"]
    np.testing.assert_allclose(steps * scales.reshape(-1, 1, 1, 1), whole, atol=scales.max() / 2 + 1e-7)
    assert "second_w" not in constants


def test_answers_stay_close(model: Any) -> None:
    changed = in_8_bits(model)
    for batch in BATCHES:
        exact = answer(model, batch)
        noise = np.std(answer(changed, batch) - exact)
        assert 0 < noise < 0.02 * np.std(exact[:, :, 10:])  # behind the boxes, where the convolutions' answers are


def test_what_is_left_alone_is_as_it_was(model: Any) -> None:
    changed = in_8_bits(model, ["first"])
    assert {node.op_type for node in changed.graph.node if node.output[0] == "first_weights"} == {"DequantizeLinear"}
    np.testing.assert_array_equal(weights_of(changed)["second_w"], weights_of(model)["second_w"])
    onnx.checker.check_model(changed)


def test_a_channel_of_zeros(model: Any) -> None:
    [weight] = [each for each in model.graph.initializer if each.name == "second_w"]
    values = onnx.numpy_helper.to_array(weight).copy()
    values[3] = 0
    weight.CopyFrom(onnx.numpy_helper.from_array(values, "second_w"))
    assert np.isfinite(answer(in_8_bits(model), BATCHES[0])).all()


EVEN = np.linspace(0, 1, 3 * 64 * 64, dtype=np.float32).reshape(1, 3, 64, 64)


@pytest.mark.parametrize(
    ("batches", "low", "high"),
    [
        ([EVEN], 0.99, 1),  # nothing to gain by clipping
        ([EVEN, -2 * EVEN], 1.9, 2),  # the sign doesn't matter
        ([*[EVEN * 0.2] * 15, np.where(EVEN == 1, 1, EVEN * 0.2)], 0.45, 0.55),  # one of 200,000 is far out
        ([EVEN * 0], 0.1, 1),  # any will do but 0
    ],
    ids=["even", "negative", "rare", "nothing"],
)
def test_limits_clip_what_is_rare(batches: list[NDArray[np.float32]], low: float, high: float, model: Any) -> None:
    assert low <= activation_limits(model, ["images"], batches)["images"] <= high


def test_the_last_convolutions_are_found(model: Any) -> None:
    assert last_convolutions(model) == {"last"}
    assert list(convolutions(model)) == list(LAYERS)


def test_the_layer_that_suffers_most_comes_first(model: Any) -> None:
    [weight] = [each for each in model.graph.initializer if each.name == "second_w"]
    values = onnx.numpy_helper.to_array(weight).copy()
    values[:, 0] *= 300  # one input's weights are large, so that the others' become 0 in 8 bits
    weight.CopyFrom(onnx.numpy_helper.from_array(values, "second_w"))
    limits = activation_limits(model, {node.input[0] for node in convolutions(model).values()}, BATCHES)
    found = damage(model, limits, ["first", "second"], BATCHES)
    assert list(found) == ["second", "first"]
    assert found["second"] > found["first"] > 0


@pytest.mark.parametrize(
    ("scores", "left_alone"),
    [
        ([0.8, 0.795], {"last"}),
        ([0.8, 0.7, 0.795], {"last", "first"}),
        ([0.8, 0.9], {"last"}),
    ],
)
def test_layers_are_left_alone_until_little_is_lost(
    scores: list[float], left_alone: set[str], model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engines.export.integers.damage", lambda *_: {"first": 2.0, "second": 1.0})
    said: list[str] = []
    given = iter(scores)
    found = to_integers(model, BATCHES, lambda _: next(given), 0.01, said.append)
    assert set(found.left_alone) == left_alone
    assert found.layers == 3
    assert found.lost == pytest.approx(scores[0] - scores[-1])
    assert len(said) == len(scores) - 1


def test_too_much_lost(model: Any) -> None:
    scores = iter([0.8, 0.1, 0.2, 0.3])
    with pytest.raises(ModelError, match=r"8 bits cost 0\.600 AP50 with 2 of 3 convolutions left alone; allow more"):
        to_integers(model, BATCHES, lambda _: next(scores), 0.01)


def test_an_old_file_is_raised_to_an_opset_with_scales_per_channel(tmp_path: Path) -> None:
    old = convolutional(tmp_path / "m.onnx", opset=11)
    model = load_model(old)
    assert model.opset_import[0].version >= 13
    np.testing.assert_allclose(answer(model, BATCHES[0]), answer(onnx.load(old), BATCHES[0]), rtol=1e-5)
    assert {each.key for each in model.metadata_props} >= {"names"}
