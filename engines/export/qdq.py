"""Convolutions in 8 bits, in the form that every runtime reads: quantised and dequantised values around them (QDQ).

Jacob et al. 2018, arXiv:1712.05877; per channel and symmetric as in Wu et al. 2020, arXiv:2004.09602. Symmetric
int8 with zero points of 0, and biases left in float32: TensorRT takes nothing else.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from engines.export.graph_reading import convolutions, drop_unused_weights, weights_of

_LEVELS = 127
_ZERO = "int8_zero"
_TINY = 1e-8  # least scale: of a channel whose weights are all zero


def quantised(model: Any, limits: Mapping[str, float], layers: Collection[str]) -> Any:
    """A copy of the model in which the convolutions called `layers` are in 8 bits.

    limits: of what goes into them, see `activation_limits`; a value is rounded once, for all that read it.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    chosen = [node for name, node in convolutions(copy).items() if name in layers]
    values = {node.input[0] for node in chosen}
    constants = weights_of(copy)
    nodes = [*_rounded([each.name for each in copy.graph.input], values)]
    for node in copy.graph.node:
        if node in chosen:
            nodes.append(_rounded_weights(node, constants[node.input[1]], copy.graph))
        node.input[:] = [_dequantised(name) if name in values else name for name in node.input]
        nodes += [node, *_rounded(node.output, values)]
    for name in sorted(values):
        _add_weight(copy.graph, f"{name}_scale", np.float32(limits[name] / _LEVELS))
    _add_weight(copy.graph, _ZERO, np.int8(0))
    del copy.graph.node[:]
    copy.graph.node.extend(nodes)
    drop_unused_weights(copy.graph)
    onnx.checker.check_model(copy)
    return copy


def _rounded(names: Sequence[str], values: Collection[str]) -> list[Any]:
    """The two nodes that round each of these values, if it is to be rounded."""
    nodes = []
    for name in names:
        if name in values:
            scale = [f"{name}_scale", _ZERO]
            nodes += [
                helper.make_node("QuantizeLinear", [name, *scale], [f"{name}_int8"], name=f"{name}_quantize"),
                helper.make_node(
                    "DequantizeLinear", [f"{name}_int8", *scale], [_dequantised(name)], name=f"{name}_back"
                ),
            ]
    return nodes


def _dequantised(name: str) -> str:
    return f"{name}_rounded"


def _rounded_weights(node: Any, weights: NDArray[np.float32], graph: Any) -> Any:
    """Makes `node` read its weights from 8 bits, a scale per output channel; the node that gives them."""
    name = node.input[1]
    largest = np.abs(weights).reshape(len(weights), -1).max(axis=1)
    scales = np.maximum(largest / _LEVELS, _TINY).astype(np.float32)
    steps = np.round(weights / scales.reshape(-1, *[1] * (weights.ndim - 1)))
    inputs = [f"{node.output[0]}_weights_{part}" for part in ("int8", "scales", "zeros")]
    for part, values in zip(inputs, (steps.astype(np.int8), scales, np.zeros(len(scales), np.int8)), strict=True):
        _add_weight(graph, part, values)
    node.input[1] = f"{node.output[0]}_weights"
    return helper.make_node("DequantizeLinear", inputs, [node.input[1]], name=f"{name}_back", axis=0)


def _add_weight(graph: Any, name: str, values: Any) -> None:
    graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))
