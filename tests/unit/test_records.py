"""Records: there and back without loss, as their schemas say, and no garbage does more than a RecordError."""

import json
from contextlib import suppress
from dataclasses import replace
from math import isclose
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from streamer.errors import RecordError, UsageError
from streamer.records import (
    BBox,
    DetectedObject,
    Detection,
    Direction,
    End,
    EndHeader,
    Event,
    EventKind,
    FrameHeader,
    FrameId,
    Gap,
    GapReason,
    Result,
    parse_detection,
    parse_headers,
    rfc3339,
)
from streamer.records.schema import GENERATED, NAMES, generate, schema
from streamer.records.stream import Crop, Line, Mask, PipelineDefinition, StreamDefinition, Zone, parse_definition

names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True)
counts = st.integers(0, 2**63 - 1)
ids = st.builds(FrameId, st.integers(1, 2**63 - 1), counts)
moments = st.integers(0, 250_000_000_000_000)
finite = st.floats(allow_nan=False, allow_infinity=False, width=32)
factors = st.floats(-1e7, 1e7)
text = st.text(st.characters(codec="utf-8"), max_size=40)
hundredths = st.integers(-1_000_000, 10_000_000).map(lambda n: n / 100)
sides = st.integers(1, 65_535)

frame_headers = st.builds(
    FrameHeader,
    stream=names,
    id=ids,
    captured_ms=moments,
    index=counts,
    width=sides,
    height=sides,
    source_width=sides,
    source_height=sides,
    matrix=st.tuples(factors, factors, factors, factors, factors, factors),
    pts=st.none() | st.integers(-(2**63) + 1, 2**63 - 1),
    source_time=st.none() | st.integers(-(10**15), 10**15).map(lambda us: us / 1e6),
    traceparent=st.just("") | st.just("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
)
end_headers = st.builds(EndHeader, names, ids, moments, text)
objects = st.builds(
    DetectedObject,
    id=text,
    bbox=st.builds(BBox, hundredths, hundredths, hundredths, hundredths),
    type=text,
    confidence=st.integers(0, 10_000).map(lambda n: n / 10_000),
    info=st.dictionaries(text, text, max_size=3),
)
results = st.builds(
    Result,
    pipeline=names,
    stream=names,
    id=ids,
    captured_ms=moments,
    width=sides,
    height=sides,
    objects=st.lists(objects, max_size=3).map(tuple),
    source_time=st.none() | finite,
    index=st.none() | counts,
    pts=st.none() | st.integers(-(2**63), 2**63 - 1),
    engine=st.dictionaries(text, text, max_size=3),
    latency_ms=st.dictionaries(text, finite, max_size=3),
    traceparent=text,
)
gaps = st.builds(
    lambda pipeline, stream, first, more, reason, ms, detail: Gap(
        pipeline, stream, first, None if more is None else first.sequence + more, reason, ms, detail
    ),
    names,
    names,
    st.builds(FrameId, st.integers(1, 2**63 - 1), st.integers(0, 2**62)),
    st.none() | st.integers(0, 2**61),
    st.sampled_from(GapReason),
    moments,
    text,
)
ends = st.builds(End, names, names, ids, moments, text)
events = st.builds(
    Event,
    pipeline=names,
    stream=names,
    frame=ids,
    number=counts,
    life=text,
    kind=st.sampled_from(EventKind),
    object=objects,
    began_ms=moments,
    ended_ms=moments,
    seconds=st.integers(0, 10**9).map(lambda ms: ms / 1000),
)
place_events = st.builds(
    lambda event, place, direction, counts: replace(event, place=place, direction=direction, counts=counts),
    events,
    names,
    st.none() | st.sampled_from(Direction),
    st.dictionaries(st.sampled_from(["inside", "entered"]), counts),
)
KINDS = {Result: "result", Gap: "gap", End: "end"}
VALIDATORS = {name: Draft202012Validator(schema(name)) for name in NAMES}


@given(frame_headers | end_headers)
def test_headers_there_and_back(header: FrameHeader | EndHeader) -> None:
    assert parse_headers(header.to_headers(), header.captured_ms) == header


@given(frame_headers | end_headers)
def test_headers_are_as_their_schema_says(header: FrameHeader | EndHeader) -> None:
    written = {key: value.decode() for key, value in header.to_headers()}
    VALIDATORS["frame" if isinstance(header, FrameHeader) else "frame-end"].validate(written)


@given(results | gaps | ends)
def test_detections_there_and_back(record: Detection) -> None:
    assert parse_detection(record.to_json()) == record


@given(results | gaps | ends)
def test_detections_are_as_their_schema_says(record: Detection) -> None:
    line = record.to_json()
    assert b"\n" not in line
    VALIDATORS[KINDS[type(record)]].validate(json.loads(line))


@given(events | place_events)
def test_events_there_and_back_as_their_schema_says(event: Event) -> None:
    line = event.to_json()
    assert b"\n" not in line
    VALIDATORS["event"].validate(json.loads(line))
    assert Event.from_json(line) == event


HEADER = FrameHeader(
    "gate", FrameId(1_700_000_000_000, 7), 1_700_000_000_123, 7, 416, 234, 768, 432, (2.0, 0, 0, 0, 2, 0)
)


@given(
    st.dictionaries(
        st.sampled_from([key for key, _ in HEADER.to_headers()]), st.none() | st.binary() | st.just(b"9" * 30)
    )
)
def test_headers_that_were_tampered_with_parse_or_raise_a_record_error(changes: dict[str, Any]) -> None:
    headers = list((dict(HEADER.to_headers()) | changes).items())
    try:
        assert parse_headers(headers, 0).stream == "gate"
    except RecordError:
        assert changes


@given(st.lists(st.tuples(st.text(max_size=8), st.none() | st.binary(max_size=8)), max_size=8))
def test_headers_of_others_raise_a_record_error(headers: list[tuple[str, Any]]) -> None:
    with pytest.raises(RecordError):
        parse_headers(headers, 0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ce_type", b"com.example.other"),
        ("ce_source", b"/streams/a}b"),
        ("ce_source", b"gate"),
        ("ce_epoch", b"0"),
        ("ce_epoch", b"9223372036854775808"),
        ("ce_sequence", b"-1"),
        ("ce_sequence", b"1" * 10_000),
        ("ce_width", b"0"),
        ("ce_width", b"65536"),
        ("ce_matrix", b"1,0,0,0,1"),
        ("ce_matrix", b"nan,0,0,0,1,0"),
        ("ce_matrix", b"1e300,0,0,0,1,0"),
        ("ce_matrix", b"1,0,0,0,1," + b"0" * 65),
        ("ce_sourcetime", b"inf"),
        ("ce_index", None),
    ],
)
def test_wrong_headers_are_named_in_one_short_line(name: str, value: Any) -> None:
    headers = list((dict(HEADER.to_headers()) | {name: value}).items())
    with pytest.raises(RecordError, match=r"^not a frame of ours: ") as caught:
        parse_headers(headers, 0)
    assert len(str(caught.value)) < 300


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
def test_values_of_others_raise_a_record_error(value: bytes) -> None:
    with pytest.raises(RecordError):
        parse_detection(value)
    with pytest.raises(RecordError):
        Event.from_json(value)


@given(place_events, st.data())
def test_events_that_were_tampered_with_parse_to_what_can_be_written_or_raise_a_record_error(
    event: Event, data: st.DataObject
) -> None:
    fields = json.loads(event.to_json())
    fields[data.draw(st.sampled_from(sorted(fields)))] = data.draw(json_values)
    with suppress(RecordError):
        Event.from_json(json.dumps(fields)).to_json()


@given(results | gaps | ends, st.data())
def test_detections_that_were_tampered_with_parse_to_what_can_be_written_or_raise_a_record_error(
    record: Detection, data: st.DataObject
) -> None:
    fields = json.loads(record.to_json())
    fields[data.draw(st.sampled_from(sorted(fields)))] = data.draw(json_values)
    with suppress(RecordError):
        parse_detection(json.dumps(fields)).to_json()


@pytest.mark.parametrize("value", [None, b"", b"[" * 100_000, b'{"kind":"track"}', b'"frame"', "\ud800"])
def test_values_that_are_no_records(value: Any) -> None:
    with pytest.raises(RecordError):
        parse_detection(value)


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+23:59", "2026-01-01T00:00:00", "today"])
def test_times_that_are_none(time: str) -> None:
    fields = json.loads(End("main", "gate", FrameId(1, 2), 3).to_json())
    with pytest.raises(RecordError):
        parse_detection(json.dumps(fields | {"timestamp": time}))


def test_boxes_of_numpy_are_written_rounded() -> None:
    numpy = pytest.importorskip("numpy")
    left, top, right, bottom = numpy.float32([1.23456, 2, 3, 4])
    found = DetectedObject("0", BBox(left, top, right, bottom), "person", numpy.float32(0.876543))
    written = orjson.loads(Result("main", "gate", FrameId(1, 0), 0, 8, 8, (found,)).to_json())["objects"][0]
    assert written["bbox"] == {"leftX": 1.23, "topY": 2.0, "rightX": 3.0, "bottomY": 4.0}
    assert isclose(written["confidence"], 0.8765)


def test_an_error_text_with_a_file_name_that_is_no_utf8_travels() -> None:
    header = EndHeader("gate", FrameId(1, 0), 0, "caf\udce9.mp4: no such file")
    back = parse_headers(header.to_headers(), 0)
    assert isinstance(back, EndHeader)
    assert back.error == "caf\\udce9.mp4: no such file"
    assert json.loads(End("main", "gate", FrameId(1, 0), 0, header.error).to_json())["error"] == back.error


@pytest.mark.parametrize(
    ("ms", "expected"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_700_000_000_007, "2023-11-14T22:13:20.007Z"),
        (999, "1970-01-01T00:00:00.999Z"),
    ],
)
def test_rfc3339(ms: int, expected: str) -> None:
    assert rfc3339(ms) == expected


@pytest.mark.parametrize("name", NAMES)
def test_schemas_are_schemas(name: str) -> None:
    Draft202012Validator.check_schema(schema(name))
    assert schema(name)["$id"] == f"urn:streamer:schema:{name}"


@pytest.mark.parametrize("name", GENERATED)
def test_generated_schemas_are_current(name: str) -> None:
    assert schema(name) == generate(name), "run `python -m streamer.records.schema`"


@pytest.mark.parametrize(
    ("name", "record"),
    [
        ("stream", StreamDefinition(id="gate", source="rtsp://${U}:${P}@host/live")),
        (
            "stream",
            StreamDefinition(
                id="gate",
                source="clip.mp4",
                crop=Crop(left=0, top=0, width=100, height=100),
                masks=(Mask(points=((0, 0), (10, 0), (10, 10))),),
                freshness="bounded:500",
                fps=5,
            ),
        ),
        (
            "stream",
            StreamDefinition(
                id="gate",
                source="clip.mp4",
                track=True,
                zones=(Zone(name="yard", points=((0, 0), (10, 0), (10, 10)), classes=("person",), dwell_s=60),),
                lines=(Line(name="door", start=(0, 0), end=(10, 0), anchor="centre"),),
            ),
        ),
        (
            "pipeline",
            PipelineDefinition(
                name="main", model="m.onnx", model_sha256="0" * 64, width=416, height=416, classes=("person",)
            ),
        ),
        (
            "pipeline",
            PipelineDefinition(
                name="main", model="m", model_sha256="0" * 64, width=352, height=352, classes=("a",), stretched=True
            ),
        ),
    ],
)
def test_definitions_are_as_their_schema_says_and_come_back(
    name: str, record: StreamDefinition | PipelineDefinition
) -> None:
    VALIDATORS[name].validate(json.loads(record.to_json()))
    assert parse_definition(type(record), record.to_json()) == record


def test_a_pipeline_of_before_says_the_same_as_one_that_does_not_stretch() -> None:
    fields = {"name": "main", "model": "m", "model_sha256": "0", "width": 416, "height": 416, "classes": ["person"]}
    record = parse_definition(PipelineDefinition, fields)
    assert not record.stretched
    assert json.loads(record.to_json()) == fields  # which readers of before can read, too


SQUARE = {"name": "yard", "points": [[0, 0], [10, 0], [10, 10]]}
GATE = {"name": "door", "start": [0, 0], "end": [10, 0]}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"zones": [SQUARE | {"points": [[0, 0], [1, 1]]}]}, "zones.0.points"),
        ({"zones": [SQUARE | {"points": [[0, 0], [1, 1], [float("inf"), 2]]}]}, "zones.0.points.2.0"),
        ({"zones": [SQUARE | {"name": "a b"}]}, "zones.0.name"),
        ({"zones": [SQUARE, SQUARE]}, "names of their own"),
        ({"zones": [SQUARE], "lines": [GATE | {"name": "yard"}]}, "names of their own"),
        ({"lines": [GATE | {"end": [0, 0]}]}, "lines.0: a line's start and end are two points"),
        ({"lines": [GATE], "track": False}, "need track"),
    ],
)
def test_wrong_zones_and_lines_are_named(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_definition(StreamDefinition, {"id": "gate", "source": "clip.mp4", "track": True} | fields)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("result", {"sequence": -1}),
        ("result", {"objects": [{"id": "0"}]}),
        ("gap", {"reason": "bored"}),
        ("end", {"sensorId": "a}b"}),
        ("end", {"kind": "gap"}),
    ],
)
def test_schemas_refuse(name: str, changes: dict[str, Any]) -> None:
    records: dict[str, Detection] = {
        "result": Result("main", "gate", FrameId(1, 0), 0, 8, 8, ()),
        "gap": Gap("main", "gate", FrameId(1, 0), 3, GapReason.STALE, 0),
        "end": End("main", "gate", FrameId(1, 4), 0),
    }
    fields = json.loads(records[name].to_json())
    assert VALIDATORS[name].is_valid(fields)
    assert not VALIDATORS[name].is_valid(fields | changes)
