"""The layers of a built engine, as TensorRT's inspector tells them."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import orjson

from engines.tensorrt.library import Library

_BYTES = {"fp32": 4, "int32": 4, "fp16": 2, "bf16": 2, "half": 2, "float": 4, "int64": 8, "fp4": 0.5, "int4": 0.5}
_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Layer:
    """One step of an engine. formats: number formats of its outputs. size: bytes of its outputs, per inference."""

    name: str
    kind: str
    formats: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    size: int


def read_layers(library: Library, plan: bytes) -> list[Layer]:
    """Layers of a plan, for the device whose context is current.

    Raises:
        DeviceError: TensorRT can't start, or can't load it.
    """
    runtime = library.runtime()
    runtime.engine_host_code_allowed = True  # version-compatible plans hold some; the cache has vouched for it
    engine = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        raise library.failure("loading the engine")
    return parse_layers(
        engine.create_engine_inspector().get_engine_information(library.trt.LayerInformationFormat.JSON)
    )


def parse_layers(text: str) -> list[Layer]:
    """Layers from the inspector's JSON; those of engines built without details have names only."""
    return [_layer(found) for found in orjson.loads(text).get("Layers", ())]


def _layer(found: Mapping[str, Any] | str) -> Layer:
    if isinstance(found, str):
        return Layer(found, "", (), (), 0)
    outputs = found.get("Outputs", ())
    # As in "Half", or with its arrangement in memory: "Channel major FP16 format ...".
    words = [str(output.get("Format/Datatype", output.get("Datatype", ""))) for output in outputs]
    formats = tuple(_format(each) for each in words)
    shapes = tuple(tuple(map(int, output.get("Dimensions", ()))) for output in outputs)
    values = [math.prod(max(1, side) for side in shape) for shape in shapes]
    size = sum(_BYTES.get(kind, 1) * count for kind, count in zip(formats, values, strict=True))
    return Layer(str(found.get("Name", "")), str(found.get("LayerType", "")), formats, shapes, int(size))


def _format(words: str) -> str:
    lower = words.lower()
    known = ("fp32", "fp16", "bf16", "fp8", "int8", "int32", "int64", "bool", "half", "float", "fp4", "int4")
    found = next((each for each in known if each in lower), lower)
    return {"half": "fp16", "float": "fp32"}.get(found, found)


def as_json(layers: Sequence[Layer]) -> str:
    """One object."""
    return orjson.dumps({"layers": [asdict(layer) for layer in layers]}, option=orjson.OPT_INDENT_2).decode()


def as_text(layers: Sequence[Layer]) -> str:
    """How many of each number format, then a line per layer."""
    counts = Counter(kind for layer in layers for kind in layer.formats)
    formats = ", ".join(f"{count} outputs in {kind}" for kind, count in counts.most_common())
    lines = [f"{len(layers)} layers; {formats or 'number formats are not told'}", ""]
    lines.append(f"{'kind':<18}{'output':<16}{'shape':<22}{'kB':>8}  name")
    return "\n".join([*lines, *map(_line, layers)])


def _line(layer: Layer) -> str:
    shapes = ", ".join("x".join(map(str, shape)) for shape in layer.shapes)
    name = layer.name if len(layer.name) <= _SHOWN else f"{layer.name[: _SHOWN - 3]}..."
    return f"{layer.kind:<18}{', '.join(layer.formats):<16}{shapes:<22}{layer.size / 1e3:>8.0f}  {name}"
