"""The JSON schemas (2020-12) of all records, shipped beside the code for those who write or read them elsewhere.

`python -m streamer.records.schema` writes anew those that follow from the code: stream and pipeline definitions.
"""

import json
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from streamer.records.stream import PipelineDefinition, StreamDefinition

NAMES = ("frame", "frame-end", "result", "gap", "end", "event", "stream", "pipeline")
"""frame, frame-end: the headers of a record on `frames`, as an object of strings. result, gap, end: on `detections`.
event: on `events`. stream: on `streams`. pipeline: on `pipelines`."""

GENERATED: dict[str, type[BaseModel]] = {"stream": StreamDefinition, "pipeline": PipelineDefinition}


def schema(name: str) -> dict[str, Any]:
    """The schema of one kind of record, one of NAMES."""
    found: dict[str, Any] = json.loads(_file(name).read_text(encoding="utf-8"))
    return found


def generate(name: str) -> dict[str, Any]:
    """The schema of one of GENERATED, from the code."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:streamer:schema:{name}",
        **GENERATED[name].model_json_schema(),
    }


def write_generated() -> None:
    """Writes the files of all GENERATED."""
    for name in GENERATED:
        Path(str(_file(name))).write_text(json.dumps(generate(name), indent=2) + "\n", encoding="utf-8")


def _file(name: str) -> Traversable:
    return resources.files("streamer.records") / "schemas" / f"{name}.json"


if __name__ == "__main__":
    write_generated()
