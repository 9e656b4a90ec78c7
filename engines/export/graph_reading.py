"""What the quantiser must know of an ONNX graph: its convolutions, and which of them are the last ones."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import onnx
from onnx import numpy_helper, version_converter

from engines.onnx_file import read_onnx
from streamer.errors import ModelError

NEEDED_OPSET = 13  # the first one with a scale per channel in DequantizeLinear


def load_model(path: Path) -> Any:
    """The ONNX model in a file, raised to opset 13 if it is older; all nodes have names, all constants are weights.

    Raises:
        ModelError: there is no such file, it is damaged, or can't be brought to that opset.
    """
    model = _raised(onnx.load(str(path)), path) if _is_old(path) else onnx.load(str(path))
    for node in model.graph.node:
        node.name = node.name or node.output[0]
    constant = [node for node in model.graph.node if node.op_type == "Constant" and node.attribute[0].name == "value"]
    for node in constant:
        node.attribute[0].t.name = node.output[0]
        model.graph.initializer.append(node.attribute[0].t)
        model.graph.node.remove(node)
    return model


def _is_old(path: Path) -> bool:
    return read_onnx(path).opsets.get("", NEEDED_OPSET) < NEEDED_OPSET


def _raised(model: Any, path: Path) -> Any:
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


def drop_unused_weights(graph: Any) -> None:
    """Removes the constant tensors that no node reads."""
    used = {name for node in graph.node for name in node.input}
    kept = [weight for weight in graph.initializer if weight.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def _makers(nodes: Iterable[Any]) -> Mapping[str, Any]:
    return {output: node for node in nodes for output in node.output}
