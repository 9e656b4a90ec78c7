"""What docs/events.md shows is what the code reads and writes, with the defaults that it names."""

import json
import re
from pathlib import Path

from jsonschema import Draft202012Validator

from consumers.events.presence import UPDATE_S
from consumers.tracking import tuning
from streamer.records import Direction, Event, EventKind
from streamer.records.schema import schema
from streamer.records.stream import Line, StreamDefinition, Zone, parse_definition

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "events.md").read_text(encoding="utf-8")
DEFINITION, EVENT = re.findall(r"^```json\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_the_definition_shown_is_one() -> None:
    Draft202012Validator(schema("stream")).validate(json.loads(DEFINITION))
    assert parse_definition(StreamDefinition, DEFINITION).zones[0].dwell_s == 60


def test_the_event_shown_is_one() -> None:
    Draft202012Validator(schema("event")).validate(json.loads(EVENT))
    assert json.loads(Event.from_json(EVENT).to_json()) == json.loads(EVENT)


def test_all_fields_and_types_are_named() -> None:
    named = set(re.findall(r"`([\w.]+)`", PAGE))
    assert {*Zone.model_fields, *Line.model_fields, *map(str, EventKind), *map(str, Direction)} <= named


def test_defaults_shown_are_those_of_the_code() -> None:
    zone = Zone(name="a", points=((0, 0), (1, 0), (1, 1)))
    assert f"{tuning.CONFIRM_HITS} boxes within {tuning.CONFIRM_S:g} s" in PAGE
    assert f"it was not seen for {tuning.KEEP_S:g} s" in PAGE
    assert f"out of view for more than {tuning.KEEP_S:g} s" in PAGE
    assert f"every {UPDATE_S:g} s" in PAGE
    assert f"default {zone.margin:g} |" in PAGE
    assert f"default {zone.min_s:g} |" in PAGE
    assert f"At most {tuning.MAX_TRACKS} tracks per stream" in PAGE
    assert ", ".join(f"`{name}`" for name in tuning.VEHICLES[:-1]) + f" and `{tuning.VEHICLES[-1]}`" in PAGE
