"""What the quantiser must know of an ONNX graph: its convolutions, and which of them are the last ones."""

from collections.abc import Iterable, Mapping
from typing import Any

import onnx
from onnx import numpy_helper, version_converter

from engines.onnx_file import read_onnx
from streamer.errors import ModelError

NEEDED_OPSET = 13  # the first one with a scale per channel in DequantizeLinear


def load_model(path: Any) -> Any:
    """The ONNX model in a file, of opset 13 or later.

    Raises:
        ModelError: there is no such file, it is damaged, or can't be brought to that opset.
    """
    file = read_onnx(path)
    model = onnx.load(str(path))
    if file.opsets.get("", NEEDED_OPSET) >= NEEDED_OPSET:
        return model
    try:
        return version_converter.convert_version(model, NEEDED_OPSET)
    except (RuntimeError, version_converter.ConvertError) as error:
        reason = str(error).splitlines()[0]
        raise ModelError(
            f"{path}: export it with opset {NEEDED_OPSET} or later; it can't be raised: {reason}"
        ) from None


def weights_of(model: Any) -> dict[str, Any]:
    """Constant tensors by name."""
    return {weight.name: numpy_helper.to_array(weight) for weight in model.graph.initializer}


def convolutions(model: Any) -> dict[str, Any]:
    """The convolutions whose weights are constants, by the name of what they give."""
    constant = {weight.name for weight in model.graph.initializer}
    return {node.output[0]: node for node in model.graph.node if node.op_type == "Conv" and node.input[1] in constant}


def last_convolutions(model: Any) -> frozenset[str]:
    """Those behind which there is no other one on some way to an output: they give coordinates and probabilities."""
    makers = _makers(model.graph.node)
    waiting = [output.name for output in model.graph.output]
    seen, found = set(), set()
    while waiting:
        name = waiting.pop()
        node = makers.get(name)
        if node is None or name in seen:
            continue
        seen.add(name)
        if node.op_type == "Conv":
            found.add(node.output[0])
        else:
            waiting += list(node.input)
    return frozenset(found)


def behind(model: Any, values: Iterable[str]) -> frozenset[str]:
    """Names of the nodes that work on these values, or on what was made of them."""
    reached, found = set(values), set()
    for node in model.graph.node:  # ONNX lists each node behind those that it needs
        if reached.intersection(node.input):
            reached.update(node.output)
            found.add(node.name)
    return frozenset(found)


def _makers(nodes: Iterable[Any]) -> Mapping[str, Any]:
    return {output: node for node in nodes for output in node.output}
