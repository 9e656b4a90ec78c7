"""What an ONNX file says of itself: inputs, outputs, metadata, operators, number formats of its weights.

Field numbers are those of onnx.proto (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).
"""

import hashlib
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from engines.protobuf import Value, WireError, fields, integer, integers, message, text
from streamer.errors import ModelError

DTYPES = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 8: "string",
    9: "bool", 10: "float16", 11: "float64", 12: "uint32", 13: "uint64", 16: "bfloat16",
}  # fmt: skip
_WIDTHS = {"float32": 4, "int32": 4, "uint32": 4, "float16": 2, "bfloat16": 2, "int16": 2, "uint16": 2}
_WIDTHS |= {"float64": 8, "int64": 8, "uint64": 8}
_QUANTISED = ("QuantizeLinear", "DequantizeLinear")
_DYNAMICALLY_QUANTISED = ("DynamicQuantizeLinear", "ConvInteger", "MatMulInteger")

Dimension = int | str
"""A size, or the name of one that is chosen at run time ("?" if it has none)."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """An input or output of the network."""

    name: str
    dtype: str
    shape: tuple[Dimension, ...]

    def __str__(self) -> str:
        return f"{self.name} {self.dtype} {'x'.join(map(str, self.shape)) or 'scalar'}"


@dataclass(frozen=True, slots=True)
class OnnxFile:
    """An ONNX file, without its weights.

    sha256: of the file, and of the files with its weights if they are outside of it.
    opsets: version by domain; "" is ONNX's own.
    operators: how many nodes there are by (domain, operator).
    own_operators: those (domain, operator) that the file defines itself.
    weight_bytes: size of the weights by number format.
    """

    path: Path
    size: int
    sha256: str
    producer: str
    opsets: Mapping[str, int]
    metadata: Mapping[str, str]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    operators: Mapping[tuple[str, str], int]
    own_operators: frozenset[tuple[str, str]]
    weight_bytes: Mapping[str, int]

    @property
    def precision(self) -> str:
        """fp32, fp16, bf16, "int8 QDQ" or "int8 dynamic", by operators and weights."""
        names = {name for _, name in self.operators}
        if names.intersection(_DYNAMICALLY_QUANTISED):
            return "int8 dynamic"
        if names.intersection(_QUANTISED):
            return "int8 QDQ"
        floats = {kind: self.weight_bytes.get(kind, 0) for kind in ("float32", "float16", "bfloat16", "float64")}
        widest = max(floats, key=lambda kind: floats[kind])
        return {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16", "float64": "fp64"}[widest]

    @property
    def foreign_operators(self) -> list[str]:
        """Operators that are neither ONNX's nor ONNX Runtime's nor defined in the file, as domain.name."""
        known = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")
        foreign = [key for key in self.operators if key[0] not in known and key not in self.own_operators]
        return sorted(".".join(key) for key in foreign)


def read_onnx(path: Path) -> OnnxFile:
    """Reads what the file says of itself.

    Raises:
        ModelError: there is no such file, it can't be read, it is damaged, or it is not ONNX.
    """
    content = _content(path)
    reader = _Reader()
    try:
        reader.model(memoryview(content))
    except WireError as error:
        raise ModelError(f"{path}: {_what_it_is(content, error)}") from None
    if not content:
        raise ModelError(f"{path}: the file is empty; copy or export it again")
    if not reader.inputs or not reader.outputs:
        raise ModelError(f"{path}: this is not an ONNX model: it has no graph with inputs and outputs")
    return reader.result(path, content)


def _content(path: Path) -> bytes:
    if path.is_dir():
        raise ModelError(f"{path}: this is a folder; name the .onnx file in it")
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ModelError(f"{path}: no such file; name the ONNX file of a detector") from None
    except OSError as error:
        raise ModelError(f"{path}: can't be read: {error.strerror}") from None


def _what_it_is(content: bytes, error: WireError) -> str:
    if content[:2] == b"PK" or content[:1] == b"\x80":
        return "this is a PyTorch or zip file, not ONNX; export it first (docs/models.md says how)"
    if content[0] == 0x08:  # ir_version comes first in every ONNX file that is written
        return f"the ONNX file is damaged ({error}); copy or export it again"
    return "this is not an ONNX file"


@dataclass
class _Reader:
    """Collects from the nested messages; one per file."""

    producer: list[str] = field(default_factory=lambda: ["", ""])
    opsets: dict[str, int] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    inputs: list[TensorSpec] = field(default_factory=list)
    outputs: list[TensorSpec] = field(default_factory=list)
    operators: Counter[tuple[str, str]] = field(default_factory=Counter)
    own_operators: set[tuple[str, str]] = field(default_factory=set)
    weight_bytes: Counter[str] = field(default_factory=Counter)
    weight_names: set[str] = field(default_factory=set)
    outside: set[str] = field(default_factory=set)

    def model(self, data: memoryview) -> None:
        for number, value in fields(data):
            match number:
                case 2 | 3:
                    self.producer[number - 2] = text(value)
                case 7:
                    self.graph(message(value))
                case 8:
                    opset = dict(fields(message(value)))
                    self.opsets[text(opset.get(1, memoryview(b"")))] = integer(opset.get(2, 0))
                case 14:
                    self.metadata.update([_pair(value)])
                case 25:
                    function = dict(fields(message(value)))
                    self.own_operators.add((_text_of(function, 10), _text_of(function, 1)))

    def graph(self, data: memoryview) -> None:
        for number, value in fields(data):
            match number:
                case 1:
                    self.node(message(value))
                case 5:
                    self.weights(message(value))
                case 11:
                    self.inputs.append(_tensor_spec(value))
                case 12:
                    self.outputs.append(_tensor_spec(value))

    def node(self, data: memoryview) -> None:
        parts = list(fields(data))
        named = dict(parts)
        operator = _text_of(named, 4)
        self.operators[_text_of(named, 7), operator] += 1
        if operator == "Constant":
            for _, attribute in (part for part in parts if part[0] == 5):
                tensor = dict(fields(message(attribute))).get(5)
                if tensor is not None:
                    self.weights(message(tensor))

    def weights(self, data: memoryview) -> None:
        count, kind = 1, ""
        for number, value in fields(data):
            match number:
                case 1:
                    count *= math.prod(integers(value))
                case 2:
                    kind = DTYPES.get(integer(value), "other")
                case 8:
                    self.weight_names.add(text(value))
                case 13:
                    key, place = _pair(value)
                    if key == "location":
                        self.outside.add(place)
        self.weight_bytes[kind] += count * _WIDTHS.get(kind, 1)

    def result(self, path: Path, content: bytes) -> OnnxFile:
        digest = hashlib.sha256(content)
        size = len(content)
        for place in sorted(self.outside):
            weights = _outside(path, place)
            size += len(weights)
            digest.update(weights)
        return OnnxFile(
            path,
            size,
            digest.hexdigest(),
            " ".join(filter(None, self.producer)),
            self.opsets,
            self.metadata,
            # Files of IR version 3 and older list the weights among the inputs.
            tuple(spec for spec in self.inputs if spec.name not in self.weight_names),
            tuple(self.outputs),
            self.operators,
            frozenset(self.own_operators),
            self.weight_bytes,
        )


def _outside(path: Path, place: str) -> bytes:
    file = path.parent / place
    if not file.resolve().is_relative_to(path.parent.resolve()):
        raise ModelError(f"{path}: its weights are said to be in {place}, outside of its folder; refused")
    try:
        return file.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: its weights can't be read from {place} beside it: {error.strerror}") from None


def _tensor_spec(value: Value) -> TensorSpec:
    """ValueInfoProto: name 1, type 2; TypeProto: tensor_type 1; its elem_type 1, shape 2; its dim 1."""
    info = dict(fields(message(value)))
    tensor = dict(fields(message(dict(fields(message(info.get(2, memoryview(b""))))).get(1, memoryview(b"")))))
    shape = message(tensor.get(2, memoryview(b"")))
    dims = tuple(_dimension(dim) for number, dim in fields(shape) if number == 1)
    return TensorSpec(_text_of(info, 1), DTYPES.get(integer(tensor.get(1, 0)), "other"), dims)


def _dimension(value: Value) -> Dimension:
    dim = dict(fields(message(value)))
    size = integer(dim[1]) if 1 in dim else 0
    return size if size > 0 else _text_of(dim, 2) or "?"


def _pair(value: Value) -> tuple[str, str]:
    pair = dict(fields(message(value)))
    return _text_of(pair, 1), _text_of(pair, 2)


def _text_of(found: Mapping[int, Value], number: int) -> str:
    return text(found[number]) if number in found else ""
