"""Small ONNX files for tests: networks that answer the same to every picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper


def constant_network(
    path: Path,
    answers: Mapping[str, NDArray[Any]],
    shape: Sequence[int | str] = (1, 3, 64, 64),
    metadata: Mapping[str, str] | None = None,
    dtype: int = TensorProto.FLOAT,
    brightness: bool = False,
) -> Path:
    """Writes a file whose outputs are `answers`, whatever the picture; each has the first axis of the batch.

    shape: of the input; a name instead of a number leaves that size open. dtype: of the input.
    brightness: answers are multiplied with the picture's largest value.
    """
    floats = helper.tensor_dtype_to_np_dtype(dtype)
    nodes = [
        # A factor per picture, which takes the input and the batch's size into the answer.
        helper.make_node("Flatten", ["images"], ["flat"], axis=1),
        helper.make_node("ReduceMax", ["flat"], ["most"], axes=[1], keepdims=1),
        helper.make_node("Mul" if brightness else "Pow", ["most", "exponent"], ["factor"]),
    ]
    weights = [numpy_helper.from_array(np.array([brightness], floats), "exponent")]
    outputs = []
    for name, answer in answers.items():
        axes = (1,) * (answer.ndim - 1)
        weights += [
            numpy_helper.from_array(answer[:1].astype(floats), f"{name}_answer"),
            numpy_helper.from_array(np.array([-1, *axes], np.int64), f"{name}_axes"),
        ]
        nodes += [
            helper.make_node("Reshape", ["factor", f"{name}_axes"], [f"{name}_factor"]),
            helper.make_node("Mul", [f"{name}_factor", f"{name}_answer"], [name]),
        ]
        outputs.append(helper.make_tensor_value_info(name, dtype, [shape[0], *answer.shape[1:]]))
    graph = helper.make_graph(
        nodes, "constant", [helper.make_tensor_value_info("images", dtype, shape)], outputs, weights
    )
    save(graph, path, metadata)
    return path


def save(graph: onnx.GraphProto, path: Path, metadata: Mapping[str, str] | None = None, **more: Any) -> None:
    """Writes a graph as a file of opset 13."""
    opsets = [helper.make_opsetid("", 13), *more.pop("opsets", [])]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="tests", **more)
    helper.set_model_props(model, dict(metadata or {}))
    onnx.save(model, str(path))


def rows(*objects: Sequence[float], count: int, width: int) -> NDArray[np.float32]:
    """(1, count, width), zero but for the first rows."""
    answer = np.zeros((1, count, width), np.float32)
    for number, row in enumerate(objects):
        answer[0, number, : len(row)] = row
    return answer
