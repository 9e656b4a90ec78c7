"""What is done to an ONNX model before TensorRT reads it, and which models are refused here, in clearer words.

Needs the package onnx, which is imported on use.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from engines.coco import NAMES
from engines.model import class_names
from engines.onnx_file import OnnxFile
from engines.tensorrt.errors import missing
from streamer.errors import ModelError

Precision = Literal["model", "fp16"]
VERSION = 1
"""Of what is done here; engines built from what an older one made are not used any more."""

_AGAIN = "make it of the FP32 file with `streamer export --precision int8`"
_INTEGERS = {
    "ConvInteger", "DynamicQuantizeLinear", "MatMulInteger", "QLinearAdd", "QLinearConcat", "QLinearConv",
    "QLinearMatMul", "QLinearMul", "QLinearSigmoid",
}  # fmt: skip
_UINT8, _INT32 = 2, 6  # TensorProto's numbers


@dataclass(frozen=True, slots=True)
class Prepared:
    """model: an ONNX file for TensorRT. head: what reads its outputs, None: what reads the original's.

    changes: what was done, in words.
    """

    model: bytes = field(repr=False)
    head: str | None
    changes: tuple[str, ...]


def prepare(file: OnnxFile, precision: Precision = "model") -> Prepared:
    """The model as TensorRT gets it: without NMS, which is done behind the engine, and in float16 if that is wanted.

    precision: of files in float32; others stay as they are. Inputs and outputs keep their number formats.

    Raises:
        UsageError: onnx is not installed.
        ModelError: TensorRT can't take this model, and why.
    """
    try:
        import onnx
    except ImportError:
        raise missing("onnx") from None
    from engines.tensorrt.nms_tail import cut_nms

    model = onnx.load(str(file.path))
    refuse_integers(model, file)
    changes = []
    head = cut_nms(model, len(class_names(file)) or len(NAMES), str(file.path))
    if head:
        changes.append(f"its NMS was cut off: the GPU does that behind the engine, as for head {head}")
    if precision == "fp16" and file.precision == "fp32":
        from engines.export.half import to_half

        model = to_half(model)
        changes.append("float16, but for the coordinates")
    return Prepared(model.SerializeToString(), head, tuple(changes))


def refuse_integers(model: Any, file: OnnxFile) -> None:
    """Refuses 8-bit files of other kinds than symmetric QDQ with biases in float.

    Raises:
        ModelError: names the node, and what to do.
    """
    constants = {weight.name: weight for weight in model.graph.initializer} | dict(_constant_nodes(model))
    for node in model.graph.node:
        if node.op_type in _INTEGERS:
            why = "computes in integers of its own (dynamic quantisation, or operators of ONNX Runtime)"
        elif node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            why = _unreadable(node, constants)
        else:
            continue
        if why:
            raise ModelError(f"{file.path}: {node.op_type} node {node.name or node.output[0]} {why}; {_AGAIN}")


def _constant_nodes(model: Any) -> Iterator[tuple[str, Any]]:
    for node in model.graph.node:
        if node.op_type == "Constant":
            yield from ((node.output[0], given.t) for given in node.attribute if given.name == "value")


def _unreadable(node: Any, constants: dict[str, Any]) -> str:
    """Why TensorRT can't take a Q or DQ node; nothing if it can."""
    from onnx import numpy_helper

    given = constants.get(node.input[0])
    if node.op_type == "DequantizeLinear" and given is not None and given.data_type == _INT32:
        return "has a quantised bias, and TensorRT wants biases in float"
    zero = constants.get(node.input[2]) if len(node.input) > 2 else None
    if zero is None:
        return ""
    if zero.data_type == _UINT8:
        return "has unsigned 8-bit values, and TensorRT wants signed ones"
    return "has a zero point, and TensorRT wants 0" if numpy_helper.to_array(zero).astype(float).any() else ""
