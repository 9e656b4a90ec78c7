"""Half precision: weights and activations of 16 bits, pictures and boxes of 32."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, shape_inference

from engines.export.graph_reading import behind, drop_unused_weights, last_convolutions, weights_of

_FLOAT, _HALF = TensorProto.FLOAT, TensorProto.FLOAT16
_ALWAYS_FLOAT = {"Resize": (1, 2)}  # positions of inputs that ONNX wants in float32 whatever the others are
_LARGEST = float(np.finfo(np.float16).max)


def to_half(model: Any) -> Any:
    """A copy of the model in float16, up to its last convolutions; its inputs and outputs stay as they are.

    What comes behind them computes coordinates of hundreds of pixels, whose steps in float16 are up to half a pixel.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    kinds = _kinds(copy)
    whole = behind(copy, last_convolutions(copy))
    weights = {name: values for name, values in weights_of(copy).items() if values.dtype == np.float32}
    nodes: list[Any] = []
    cast: set[str] = set()
    for node in copy.graph.node:
        wanted = _FLOAT if node.name in whole else _HALF
        for position, name in enumerate(node.input):
            if wanted == _HALF and position in _ALWAYS_FLOAT.get(node.op_type, ()):
                continue
            if name in weights and wanted == _HALF:
                node.input[position] = f"{name}_half"
            elif name not in weights and kinds.get(name, wanted) != wanted:
                node.input[position] = _cast(name, wanted, nodes, cast)
        nodes.append(node)
        if wanted == _HALF:
            _give_half(node, kinds)
    _add_outputs(copy, kinds, nodes)
    del copy.graph.node[:], copy.graph.value_info[:]
    copy.graph.node.extend(nodes)
    copy.graph.initializer.extend(_half(name, values) for name, values in weights.items())
    drop_unused_weights(copy.graph)
    onnx.checker.check_model(copy, full_check=True)
    return copy


def _kinds(model: Any) -> dict[str, int]:
    """Which values of the graph are float32."""
    known = shape_inference.infer_shapes(model).graph
    values = (*known.input, *known.value_info, *known.output)
    return {each.name: _FLOAT for each in values if each.type.tensor_type.elem_type == _FLOAT}


def _cast(name: str, wanted: int, nodes: list[Any], cast: set[str]) -> str:
    """The value in the other precision, made once."""
    other = f"{name}_{'half' if wanted == _HALF else 'float'}"
    if other not in cast:
        cast.add(other)
        nodes.append(helper.make_node("Cast", [name], [other], name=other, to=wanted))
    return other


def _give_half(node: Any, kinds: dict[str, int]) -> None:
    """Notes that what was float32 behind the node is float16 now."""
    for attribute in node.attribute:
        if node.op_type == "Cast" and attribute.i == _FLOAT:
            attribute.i = _HALF
    kinds.update({name: _HALF for name in node.output if name in kinds})


def _add_outputs(model: Any, kinds: Mapping[str, int], nodes: list[Any]) -> None:
    """Casts the outputs that became float16 back: of networks whose last operator is a convolution."""
    for output in model.graph.output:
        if kinds.get(output.name) == _HALF:
            inner = f"{output.name}_inner"
            for node in nodes:
                node.input[:] = [inner if name == output.name else name for name in node.input]
                node.output[:] = [inner if name == output.name else name for name in node.output]
            nodes.append(helper.make_node("Cast", [inner], [output.name], name=f"{inner}_float", to=_FLOAT))


def _half(name: str, values: Any) -> Any:
    return numpy_helper.from_array(values.clip(-_LARGEST, _LARGEST).astype(np.float16), f"{name}_half")
