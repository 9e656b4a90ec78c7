"""The layers of a network of ours as ONNX operators.

Written out here, one function per layer, since PyTorch's own exporters come and go (two in five years, the present
one with a compiler as a dependency): torch.fx, which lists the layers, and ONNX's operators have both stayed.
"""

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from torch import fx, nn

from streamer.errors import ModelError


@dataclass(slots=True)
class GraphWriter:
    """Gathers the nodes of a graph, and its weights by name. Every value has a name of its own."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: dict[str, onnx.TensorProto] = field(default_factory=dict)

    def node(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Adds an operator with one output; its name."""
        self.nodes.append(helper.make_node(kind, list(inputs), [output], name=output, **attributes))
        return output

    def weight(self, name: str, values: Any) -> str:
        """Adds a constant, a tensor or an array; its name."""
        array: NDArray[Any] = values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)
        self.weights[name] = numpy_helper.from_array(np.asarray(array, order="C"), name)
        return name


def write_layers(network: nn.Module, image: str, writer: GraphWriter) -> list[str]:
    """Adds all layers of a network in eval mode, from the value called `image`; the names of its outputs.

    Raises:
        ModelError: it has a layer that is not known here.
    """
    names: dict[fx.Node, str] = {}
    traced = fx.symbolic_trace(network)
    for node in traced.graph.nodes:
        match node.op:
            case "placeholder":
                names[node] = image
            case "output":
                found = node.args[0]
                return [names[each] for each in (found if isinstance(found, list | tuple) else [found])]
            case "call_module":
                names[node] = _module(traced.get_submodule(node.target), node, names[node.args[0]], writer)
            case _:
                names[node] = _function(node, names, writer)
    raise ModelError("the network gives nothing back")


def _module(layer: nn.Module, node: fx.Node, given: str, writer: GraphWriter) -> str:
    if isinstance(layer, nn.Identity | nn.Dropout):
        return given
    write = _MODULES.get(type(layer))
    if write is None:
        raise ModelError(f"layer {node.target} is a {type(layer).__name__}, which can't be exported")
    return write(layer, given, node.name, writer)


def _function(node: fx.Node, names: dict[fx.Node, str], writer: GraphWriter) -> str:
    write = _FUNCTIONS.get(node.target)
    if write is None:
        raise ModelError(f"{node.name} calls {node.target}, which can't be exported")
    return write(node, names, writer)


def _convolution(layer: nn.Conv2d, given: str, name: str, writer: GraphWriter) -> str:
    inputs = [given, writer.weight(f"{name}.weight", layer.weight)]
    if layer.bias is not None:
        inputs.append(writer.weight(f"{name}.bias", layer.bias))
    down, right = (int(side) for side in layer.padding)
    return writer.node(
        "Conv",
        inputs,
        name,
        kernel_shape=list(layer.kernel_size),
        strides=list(layer.stride),
        dilations=list(layer.dilation),
        pads=[down, right, down, right],
        group=layer.groups,
    )


def _relu(_: nn.ReLU, given: str, name: str, writer: GraphWriter) -> str:
    return writer.node("Relu", [given], name)


def _pool(layer: nn.MaxPool2d, given: str, name: str, writer: GraphWriter) -> str:
    kernel, stride, padding = (_pair(each) for each in (layer.kernel_size, layer.stride, layer.padding))
    return writer.node("MaxPool", [given], name, kernel_shape=kernel, strides=stride, pads=padding * 2)


def _mean(layer: nn.AdaptiveAvgPool2d, given: str, name: str, writer: GraphWriter) -> str:
    if _pair(layer.output_size) != [1, 1]:
        raise ModelError(f"layer {name} averages to {layer.output_size}; only to one value can be exported")
    return writer.node("GlobalAveragePool", [given], name)


def _larger(layer: nn.Upsample, given: str, name: str, writer: GraphWriter) -> str:
    factors = _pair(layer.scale_factor)
    scales = writer.weight(f"{name}.scales", np.array([1, 1, *factors], np.float32))
    asymmetric = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    return writer.node("Resize", [given, "", scales], name, mode="nearest", **asymmetric)


def _flat(_: nn.Flatten, given: str, name: str, writer: GraphWriter) -> str:
    return writer.node("Flatten", [given], name, axis=1)


def _dense(layer: nn.Linear, given: str, name: str, writer: GraphWriter) -> str:
    weights = [writer.weight(f"{name}.weight", layer.weight), writer.weight(f"{name}.bias", layer.bias)]
    return writer.node("Gemm", [given, *weights], name, transB=1)


def _concatenation(node: fx.Node, names: dict[fx.Node, str], writer: GraphWriter) -> str:
    parts, axis = node.args[0], node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)
    return writer.node("Concat", [names[part] for part in parts], node.name, axis=axis)


def _sum(node: fx.Node, names: dict[fx.Node, str], writer: GraphWriter) -> str:
    return writer.node("Add", [names[part] for part in node.args], node.name)


def _pair(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value, value]


_MODULES: dict[type[nn.Module], Callable[[Any, str, str, GraphWriter], str]] = {
    nn.Conv2d: _convolution,
    nn.ReLU: _relu,
    nn.MaxPool2d: _pool,
    nn.AdaptiveAvgPool2d: _mean,
    nn.Upsample: _larger,
    nn.Flatten: _flat,
    nn.Linear: _dense,
}
_FUNCTIONS: dict[Any, Callable[[fx.Node, dict[fx.Node, str], GraphWriter], str]] = {
    torch.cat: _concatenation,
    operator.add: _sum,
}
