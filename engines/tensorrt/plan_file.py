"""A plan with what it was built for, as one file: a line that tells what it is, a line of JSON, the plan."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson
from pydantic import TypeAdapter, ValidationError

_MAGIC = b"streamer engine 1\n"
LONGEST_HEADER = 65_536


class Unusable(ValueError):
    """These bytes are not the plan that was asked for, or not all of it."""


@dataclass(frozen=True, slots=True)
class PlanKey:
    """What a plan depends on; any other needs another plan.

    model: SHA-256 of the ONNX file. preparation: version of engines.tensorrt.graph.
    library, version: TensorRT's; only the major version for version-compatible plans.
    gpu: name and architecture, or what a hardware-compatible plan is for.
    precision: "model" or "fp16". shape: of the input, without the batch.
    batches: least, best and most pictures, or what the model fixes.
    options: all else that the builder was told.
    """

    model: str
    preparation: int
    library: str
    version: str
    gpu: str
    precision: str
    shape: tuple[int, ...]
    batches: tuple[int, ...]
    options: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """64 hexadecimal digits, alike for equal keys only."""
        return hashlib.sha256(orjson.dumps(asdict(self), option=orjson.OPT_SORT_KEYS)).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        plain: dict[str, Any] = orjson.loads(orjson.dumps(asdict(self)))
        return plain


@dataclass(frozen=True, slots=True)
class Plan:
    """What TensorRT loads, and how it came about.

    head: what reads its outputs, None: what reads the model's. changes: that were made to the model, in words.
    model_name: of the file, for people. seconds: it took to build. built: when, as seconds since 1970.
    builder: version of the TensorRT that built it; nothing where an older streamer did.
    """

    content: bytes = field(repr=False)
    head: str | None
    changes: tuple[str, ...]
    model_name: str
    seconds: float
    built: float
    builder: str = ""


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says of the plan in it; see Plan.

    sha256: of the plan. size: its bytes.
    """

    key: PlanKey
    sha256: str
    size: int
    head: str | None
    changes: tuple[str, ...]
    model_name: str
    seconds: float
    built: float
    builder: str = ""


_HEADER = TypeAdapter(Header)


def write_plan(key: PlanKey, plan: Plan) -> bytes:
    """The bytes of a file."""
    header = Header(
        key=key,
        sha256=hashlib.sha256(plan.content).hexdigest(),
        size=len(plan.content),
        head=plan.head,
        changes=plan.changes,
        model_name=plan.model_name,
        seconds=plan.seconds,
        built=plan.built,
        builder=plan.builder,
    )
    return b"".join((_MAGIC, orjson.dumps(header), b"\n", plan.content))


def read_header(content: bytes, size: int) -> Header:
    """What a file of so many bytes says of itself; content: the first LONGEST_HEADER of them at least.

    Raises:
        Unusable: it is no such file, or cut off.
    """
    end = content.find(b"\n", len(_MAGIC), LONGEST_HEADER)
    if not content.startswith(_MAGIC) or end < 0:
        raise Unusable("it is not an engine file of this version")
    try:
        header = _HEADER.validate_json(content[len(_MAGIC) : end], strict=True)
    except ValidationError:
        raise Unusable("its header is damaged, or an older streamer's") from None
    if end + 1 + header.size != size:
        raise Unusable("it is cut off or damaged")
    return header


def read_plan(content: bytes, key: PlanKey) -> Plan:
    """The plan in a file, if it is whole and the one for `key`.

    Raises:
        Unusable: it isn't.
    """
    header = read_header(content, len(content))
    # As plain data: lists and tuples are one there.
    if header.key.to_json() != key.to_json():
        raise Unusable("it was built for something else")
    plan = content[len(content) - header.size :]
    if hashlib.sha256(plan).hexdigest() != header.sha256:
        raise Unusable("it is damaged")
    made = header.head, header.changes, header.model_name, header.seconds, header.built, header.builder
    return Plan(plan, *made)
