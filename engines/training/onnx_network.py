"""Runs an ONNX file of a convolutional network in PyTorch, batched and on any device: a teacher beside its pupil.

Semantics of the operators: https://onnx.ai/onnx/operators/. Shapes are known beforehand, so that nothing waits for the
device.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import torch
import torch.nn.functional as F
from onnx import numpy_helper
from torch import Tensor

from streamer.errors import ModelError

Attributes = dict[str, Any]
Operator = Callable[[Sequence[Any], Attributes], Any]


@dataclass(frozen=True, slots=True)
class _Node:
    run: Operator
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Attributes
    forgotten: tuple[str, ...]


class OnnxNetwork:
    """A network from a file.

    Args:
        file: ONNX, with weights inside, of operators that this module knows.
        device: where it runs.

    Raises:
        ModelError: the file can't be read, or holds other operators.
    """

    def __init__(self, file: Path, device: torch.device) -> None:
        try:
            graph = onnx.load(str(file)).graph
        except (OSError, ValueError, onnx.checker.ValidationError) as error:
            raise ModelError(f"{file}: can't be read as ONNX: {error}") from None
        foreign = sorted({node.op_type for node in graph.node} - _OPERATORS.keys() - {"Constant"})
        if foreign:
            raise ModelError(f"{file}: it uses {', '.join(foreign[:3])}, which is run once only: --distil once")
        self._values = {each.name: _tensor(each, device) for each in graph.initializer}
        for node in graph.node:
            if node.op_type == "Constant":
                self._values[node.output[0]] = _tensor(node.attribute[0].t, device)
        self._input = next(each.name for each in graph.input if each.name not in self._values)
        self._outputs = [each.name for each in graph.output]
        nodes = _with_silu([node for node in graph.node if node.op_type != "Constant"], self._outputs)
        self._features = _read_by_last_convolutions(nodes, self._outputs)
        self._nodes = self._prepared(nodes)

    def __call__(self, images: Tensor) -> list[Tensor]:
        """The outputs for (B, 3, height, width), whatever batch size the file was made for; no gradients."""
        return self.with_features(images)[0]

    def with_features(self, images: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """The outputs, and what the last convolutions read, (B, C, H, W) each, in the order of the file."""
        values = {**self._values, self._input: images}
        with torch.no_grad():
            for node in self._nodes:
                found = node.run([values.get(name) for name in node.inputs], node.attributes)
                values.update(zip(node.outputs, found if isinstance(found, tuple) else (found,), strict=False))
                for name in node.forgotten:
                    del values[name]
        return [values[name] for name in self._outputs], [values[name] for name in self._features]

    def _prepared(self, nodes: Sequence[Any]) -> list[_Node]:
        """Each with what nobody needs behind it, or the activations of all layers would stay in memory."""
        last = {name: number for number, node in enumerate(nodes) for name in node.input}
        kept = {*self._values, *self._outputs, *self._features, self._input, ""}
        forgotten: dict[int, list[str]] = {}
        for name, number in last.items():
            if name not in kept:
                forgotten.setdefault(number, []).append(name)
        return [
            _Node(
                _OPERATORS[node.op_type],
                tuple(node.input),
                tuple(node.output),
                {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute},
                tuple(forgotten.get(number, ())),
            )
            for number, node in enumerate(nodes)
        ]


def _with_silu(nodes: Sequence[Any], outputs: Sequence[str]) -> list[Any]:
    """x · sigmoid(x) as one operator: it is behind every convolution of a YOLO, and memory is what it waits for."""
    gates = {node.output[0]: node.input[0] for node in nodes if node.op_type == "Sigmoid"}
    readers = Counter(name for node in nodes for name in node.input)
    found, fused = [], set[str]()
    for node in nodes:
        gate = next((name for name in node.input if name in gates and gates[name] in node.input), None)
        if node.op_type == "Mul" and gate and readers[gate] == 1 and gate not in outputs:
            fused.add(gate)
            node = onnx.helper.make_node("Silu", [gates[gate]], list(node.output))
        found.append(node)
    return [node for node in found if not fused & set(node.output)]


def _read_by_last_convolutions(nodes: Sequence[Any], outputs: Sequence[str]) -> list[str]:
    """Names of the features that convolutions with no convolution behind them read, each once."""
    waiting, found = set(outputs), dict[str, None]()
    for node in reversed(nodes):
        if not waiting & set(node.output):
            continue
        if node.op_type == "Conv":
            found[node.input[0]] = None
        else:
            waiting.update(node.input)
    return list(reversed(found))


def _tensor(value: Any, device: torch.device) -> Any:
    """Weights on the device; whole numbers as lists, as they say shapes, axes and positions."""
    array = numpy_helper.to_array(value)
    if array.dtype.kind in "iu":
        return array.tolist()
    return torch.from_numpy(array.copy()).to(device)


def _conv(values: Sequence[Any], attributes: Attributes) -> Tensor:
    features, weights, *bias = values
    features, padding = _padded(features, attributes, 0.0)
    stride, dilation = attributes.get("strides", [1, 1]), attributes.get("dilations", [1, 1])
    return F.conv2d(features, weights, bias[0] if bias else None, stride, padding, dilation, attributes.get("group", 1))


def _max_pool(values: Sequence[Any], attributes: Attributes) -> Tensor:
    features, padding = _padded(values[0], attributes, float("-inf"))
    ceil = bool(attributes.get("ceil_mode", 0))
    return F.max_pool2d(
        features, attributes["kernel_shape"], attributes.get("strides", [1, 1]), padding, ceil_mode=ceil
    )


def _padded(features: Tensor, attributes: Attributes, value: float) -> tuple[Tensor, list[int]]:
    """The features and how far the operator must pad them itself: it can't pad two sides differently."""
    top, left, bottom, right = attributes.get("pads", [0, 0, 0, 0])
    if (top, left) == (bottom, right):
        return features, [top, left]
    return F.pad(features, [left, right, top, bottom], value=value), [0, 0]


def _resize(values: Sequence[Any], attributes: Attributes) -> Tensor:
    scales = values[2] if len(values) > 2 and values[2] is not None and len(values[2]) else None
    factors = [float(each) for each in scales[2:]] if scales is not None else None
    size = None if factors else values[3][2:]
    mode = {b"nearest": "nearest", b"linear": "bilinear"}.get(attributes.get("mode", b"nearest"), "bicubic")
    return F.interpolate(values[0], size=size, scale_factor=factors, mode=mode)


def _reshape(values: Sequence[Any], _: Attributes) -> Tensor:
    features, shape = values[0], list(values[1])
    shape = [features.shape[axis] if size == 0 else size for axis, size in enumerate(shape)]
    # Written for one picture; the first axis stays the batch.
    return features.reshape([features.shape[0], *shape[1:]])


def _slice(values: Sequence[Any], _: Attributes) -> Tensor:
    features, starts, ends, *more = values
    axes = more[0] if more and more[0] is not None else range(len(starts))
    steps = more[1] if len(more) > 1 else [1] * len(starts)
    index = [slice(None)] * features.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        index[axis] = slice(start, end, step)
    return features[tuple(index)]


def _split(values: Sequence[Any], attributes: Attributes) -> tuple[Tensor, ...]:
    sizes = values[1] if len(values) > 1 else attributes["split"]
    return tuple(values[0].split(sizes, attributes.get("axis", 0)))


def _gather(values: Sequence[Any], attributes: Attributes) -> Tensor:
    features, index, axis = values[0], values[1], attributes.get("axis", 0)
    if isinstance(index, int):
        return features.select(axis, index)
    return torch.cat([features.narrow(axis, each % features.shape[axis], 1) for each in index], axis)


_OPERATORS: dict[str, Operator] = {
    "Add": lambda v, a: v[0] + v[1],
    "Concat": lambda v, a: torch.cat(list(v), a["axis"]),
    "Conv": _conv,
    "Div": lambda v, a: v[0] / v[1],
    "Exp": lambda v, a: v[0].exp(),
    "Gather": _gather,
    "HardSigmoid": lambda v, a: (v[0] * a.get("alpha", 0.2) + a.get("beta", 0.5)).clamp(0, 1),
    "HardSwish": lambda v, a: F.hardswish(v[0]),
    "Identity": lambda v, a: v[0],
    "LeakyRelu": lambda v, a: F.leaky_relu(v[0], a.get("alpha", 0.01)),
    "MaxPool": _max_pool,
    "Mul": lambda v, a: v[0] * v[1],
    "Relu": lambda v, a: v[0].relu(),
    "Reshape": _reshape,
    "Resize": _resize,
    "Silu": lambda v, a: F.silu(v[0]),
    "Sigmoid": lambda v, a: v[0].sigmoid(),
    "Slice": _slice,
    "Softmax": lambda v, a: v[0].softmax(a.get("axis", -1)),
    "Split": _split,
    "Sub": lambda v, a: v[0] - v[1],
    "Transpose": lambda v, a: v[0].permute(*a["perm"]),
}
