"""What docs/records.md shows is what the code writes and reads."""

import ast
import json
import re
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

import streamer
from streamer.mirror import Keys
from streamer.records import FrameHeader, GapReason, parse_detection, parse_headers
from streamer.records.schema import schema
from streamer.topics import TopicNames

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "records.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(("name", "block"), [*zip(("result", "gap", "end"), blocks("json"), strict=True)])
def test_records_shown_are_records(name: str, block: str) -> None:
    Draft202012Validator(schema(name)).validate(json.loads(block))
    assert json.loads(parse_detection(block).to_json()) == json.loads(block)


def test_headers_shown_are_headers() -> None:
    lines = blocks("text")[0].splitlines()
    headers = [(line.split()[0], line.split()[1].encode()) for line in lines]
    header = parse_headers(headers, 1_700_000_004_123)
    assert isinstance(header, FrameHeader)
    assert {key for key, _ in headers} == {key for key, _ in header.to_headers()}


@pytest.mark.parametrize("block", blocks("python"))
def test_python_shown_names_what_there_is(block: str) -> None:
    imported = [node for node in ast.walk(ast.parse(block)) if isinstance(node, ast.ImportFrom)]
    names = [alias.name for node in imported if node.module == "streamer" for alias in node.names]
    assert names
    assert all(hasattr(streamer, name) for name in names)


def test_names_shown_are_those_of_the_code() -> None:
    keys, topics = Keys(""), TopicNames("")
    for key in (keys.detections("main", "gate"), keys.latest("main", "gate"), keys.live("main", "gate")):
        assert f"| `{key}` |" in PAGE
    for key in (keys.preview("main", "gate"), keys.preview_wanted("main", "gate")):
        assert f"| `{key}` |" in PAGE
    for topic in (topics.frames, topics.detections, topics.dead, topics.streams, topics.pipelines):
        assert f"| `{topic}` |" in PAGE
    for reason in GapReason:
        assert f"| `{reason}` |" in PAGE
