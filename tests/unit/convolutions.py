"""A small ONNX detector with convolutions, for what changes them. It finds a cat and a dog in every picture."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from tests.unit.labelled_pictures import CAT, DOG, in_network
from tests.unit.networks import rows

SIDE = 64
LAYERS = ("first", "second", "last")
NAMES = {"names": "{0: 'dog', 1: 'cat'}", "task": "detect"}


def convolutional(path: Path, opset: int = 17, influence: float = 1e-4, metadata: dict[str, str] = NAMES) -> Path:
    """Two convolutions with ReLU and a last one, whose answers, times `influence`, are added to two boxes."""
    random = np.random.default_rng(0)
    found = rows((*in_network(*DOG), 0.9), (*in_network(*CAT), 0, 0.8), count=64, width=6)
    weights: dict[str, NDArray[Any]] = {
        "influence": np.float32(influence),
        "rows": np.array([0, 6, -1], np.int64),
        "boxes": np.ascontiguousarray(found.transpose(0, 2, 1)),
    }
    nodes, value, channels = [], "images", 3
    for name, outputs, kernel, stride in (("first", 8, 8, 8), ("second", 16, 3, 1), ("last", 6, 1, 1)):
        limit = (channels * kernel**2) ** -0.5
        weights[f"{name}_w"] = random.uniform(-limit, limit, (outputs, channels, kernel, kernel)).astype(np.float32)
        weights[f"{name}_b"] = random.uniform(-limit, limit, outputs).astype(np.float32)
        pads, inputs = [kernel // 2 if stride == 1 else 0] * 4, [value, f"{name}_w", f"{name}_b"]
        nodes.append(helper.make_node("Conv", inputs, [name], pads=pads, strides=[stride] * 2))
        nodes.append(helper.make_node("Relu", [name], [f"{name}_relu"]))
        value, channels = f"{name}_relu", outputs
    nodes[-1] = helper.make_node("Reshape", ["last", "rows"], ["flat"])
    nodes += [helper.make_node("Mul", ["flat", "influence"], ["little"])]
    nodes += [helper.make_node("Add", ["little", "boxes"], ["output0"])]
    graph = helper.make_graph(
        nodes,
        "convolutional",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, [1, 6, 64])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    helper.set_model_props(model, metadata)
    onnx.save(model, str(path))
    return path
