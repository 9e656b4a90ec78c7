"""Records of all topics, and what Kafka keeps beside an offset."""

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from consumers.entry import Batch, Entry
from consumers.follow import Follower, Followers
from consumers.ledger import Ledger
from consumers.poison.attempts import Attempt
from consumers.positions import Position, dump_positions, load_positions, newest, stepped_over
from streamer.catalog import Catalog
from streamer.errors import RecordError, UsageError
from streamer.records import (
    BBox,
    DetectedObject,
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
)
from streamer.records.dead import DeadCause, Death, dead_headers, parse_dead
from streamer.records.stream import PipelineDefinition, StreamDefinition, parse_definition
from streamer.settings import KafkaSettings
from tests.fuzz.limits import SECRET
from tests.fuzz.near import bytes_near, json_near
from tests.fuzz.target import Target

FRAME = FrameHeader(
    *("gate", FrameId(1_700_000_000_000, 7), 1_700_000_000_123, 7, 64, 48, 640, 480, (10.0, 0.0, 0.0, 0.0, 10.0, 0.0)),
    pts=7,
    source_time=0.7,
    traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
)
END = EndHeader("gate", FrameId(1_700_000_000_000, 8), 1_700_000_000_200, "rtsp://***@10.0.0.7/live: gone")
PERSON = DetectedObject("1", BBox(10, 20, 50, 120), "person", 0.9, {"track": "tentative"})
RESULT = Result(
    "main", "gate", FRAME.id, FRAME.captured_ms, 640, 480, (PERSON,), 0.7, 7, 7, {"name": "x"}, {"wait": 1.5}
)
GAP = Gap("main", "gate", FRAME.id, 9, GapReason.STALE, FRAME.captured_ms, "late")
EVENT = Event(
    *("main", "gate", FRAME.id, 3, "1-3", EventKind.CROSS, PERSON, 1_700_000_000_000, 1_700_000_001_000, 1.0, "kerb"),
    direction=Direction.LEFT,
    counts={"left": 1},
)
DETECTIONS = [RESULT.to_json(), GAP.to_json(), End("main", "gate", FRAME.id, FRAME.captured_ms).to_json()]
ZONE = {"name": "door", "points": [[0, 0], [400, 0], [400, 400], [0, 400]], "dwell_s": 1}
LINE = {"name": "kerb", "start": [0, 100], "end": [640, 100]}
STREAM = StreamDefinition.model_validate(
    {
        "id": "gate",
        "source": "rtsp://${U}:${P}@10.0.0.7/live",
        "options": {"rtsp_transport": "udp"},
        "fps": 5,
        "crop": {"left": 0, "top": 0, "width": 100, "height": 100},
        "masks": [{"points": [[0, 0], [10, 0], [10, 10]]}],
        "transport": "640x360",
        "freshness": "bounded:500",
        "track": True,
        "zones": [ZONE],
        "lines": [LINE],
    }
)
CLEAR = STREAM.to_json().replace(b"${U}:${P}", b"admin:" + SECRET.encode())
PIPELINE = PipelineDefinition(name="main", model="m.onnx", model_sha256="0" * 64, width=64, height=64, classes=("a",))
STRETCHED = PIPELINE.model_copy(update={"stretched": True})
CLASSES = ("person", "car")
LOW = 0.1


def read_headers(given: tuple[list[tuple[str, Any]], int]) -> None:
    """A frame's or an end's; what is taken can be written, and comes back the same."""
    header = parse_headers(*given)
    again = parse_headers(header.to_headers(), header.captured_ms)
    assert (again.stream, again.id, again.captured_ms) == (header.stream, header.id, header.captured_ms)


def read_dead(given: tuple[list[tuple[str, Any]], int]) -> None:
    """A record of `frames.dead`."""
    frame = parse_dead(given[0], b"jpeg", given[1])
    assert frame.stream in ("gate", "")


def read_detection(value: bytes) -> None:
    """A record of `detections`."""
    record = parse_detection(value)
    assert parse_detection(record.to_json()) == parse_detection(parse_detection(record.to_json()).to_json())


def read_event(value: bytes) -> None:
    """A record of `events`."""
    assert Event.from_json(Event.from_json(value).to_json())


def read_stream(value: bytes) -> None:
    """A record of `streams`, alone and in a catalogue; what is taken comes back the same."""
    Catalog(KafkaSettings(), "streams", StreamDefinition)._apply("gate", value)
    definition = parse_definition(StreamDefinition, value)
    assert SECRET not in definition.source
    assert parse_definition(StreamDefinition, definition.to_json()) == definition


def read_pipeline(value: bytes) -> None:
    """A record of `pipelines`."""
    definition = parse_definition(PipelineDefinition, value)
    assert parse_definition(PipelineDefinition, definition.to_json()) == definition


def followed(count: int, followers: Followers, first: int = 0) -> Batch:
    """Frames with somebody who walks to the right, into a zone and over a line."""
    results = []
    for number in range(first, first + count):
        one = DetectedObject("", BBox(20.0 * number, 60, 20.0 * number + 40, 150), "person", 0.9)
        id = FrameId(5, number)
        results.append(Result("main", "gate", id, 10**12 + number * 200, 640, 480, (one,), number / 5, candidates=()))
    batch = Batch(None, records=[(0, result) for result in results])
    followers.follow(batch)
    return batch


def follow(states: dict[str, bytes]) -> Followers:
    """Of a worker that has taken these states over."""
    followers = Followers("main", LOW, lambda _: (STREAM.zones, STREAM.lines))
    followers.classes = CLASSES
    followers.open(0, states)
    return followers


def state_samples() -> list[bytes]:
    """States at several places of a walk."""
    states = [followed(count, follow({})).states[0, "gate"] for count in (1, 4, 12)]
    return [state for state in states if state is not None]


def read_state(state: bytes) -> None:
    """A record of `state`: who takes a stream over with it goes on, with a track or without."""
    followers = follow({"gate": state})
    first, second = followed(2, followers, 12), followed(8, followers, 40)
    for batch in (first, second):
        for _, record in (*batch.records, *batch.events):
            again = (Event.from_json if isinstance(record, Event) else parse_detection)(record.to_json())
            assert again.stream == "gate"
        Follower.load(batch.states[0, "gate"] or b"", "main", "gate", LOW, CLASSES)


def read_positions(text: str) -> None:
    """The metadata of an offset: never an error; a worker goes on with what they say."""
    positions = load_positions(text)
    newest(positions)
    ledger = Ledger("main")
    ledger.open(0, positions)
    for sequence in range(2):
        header = EndHeader("gate", FrameId(1_800_000_000_000, sequence), 1)
        ledger.register(Entry(0, sequence, None, header, b"", 0), 0)
    batch = ledger.collect(0)
    assert batch is not None
    assert load_positions(batch.offsets[0][1]).streams.keys() >= {"gate"}


def changed_headers(samples: Sequence[FrameHeader | EndHeader]) -> st.SearchStrategy[tuple[list[tuple[str, Any]], int]]:
    """Headers with some values changed or missing, and any time."""
    return changed([sample.to_headers() for sample in samples])


def changed(samples: Sequence[list[tuple[str, bytes]]]) -> st.SearchStrategy[tuple[list[tuple[str, Any]], int]]:
    """The same of any headers."""
    headers = st.sampled_from(samples).flatmap(
        lambda sample: st.dictionaries(
            st.sampled_from([key for key, _ in sample]),
            st.none() | bytes_near([value for _, value in sample]) | st.sampled_from(NUMERALS),
            max_size=3,
        ).map(lambda changes: list((dict(sample) | changes).items()))
    )
    times = st.sampled_from([FRAME.captured_ms, 0, -1, 10**13, 10**14, 2**62, 2**63 - 1, -(2**62)])
    return st.tuples(headers, times)


NUMERALS = (b"0", b"-1", b"1e308", b"inf", b"nan", b"65535", b"%d" % (2**63 - 1), b"9" * 5000, b"1e308," * 5 + b"1e308")
NUMERALS += (b"0,0,0,0,0,0", b"-1e9,1e9,3e9,1e9,1e9,1e9", b"1e-300,0,0,0,1e-300,0", b"1_0", b" 7 ", "٣".encode())
STANDING = {"gate": Position(FRAME.id), "yard": Position(FrameId(3, 0), ended=True)}
POSITIONS = [dump_positions(STANDING).encode(), dump_positions(STANDING, True, Attempt(9, 7, 5, 2)).encode()]
POSITIONS.append(dump_positions(stepped_over(STANDING, GapReason.STALE)).encode())
DEAD = FRAME.to_headers() + dead_headers(Death(DeadCause.FATAL, "ended", 3), "main", (1, 7), FRAME.captured_ms, b"jpeg")
FAR = [(FRAME.to_headers(), 2**62), (FRAME.to_headers(), -1)]  # times without a date
LONG = b'{"' + b"9" * 70_000 + b'": 1, "a\\nb": 1}'  # keys are shown in messages, and looked through for addresses
SPACED = CLEAR.replace(b"admin:", b"admin: ")
FOREIGN = [b'{"complete": true, "streams": {"gate": %s}}' % row for row in (b"[1, null, 0]", b'"a}b"', b"[-1, 0, 0]")]


def _text(data: bytes) -> str:
    return data.decode(errors="replace")


TARGETS = (
    Target("headers", changed_headers([FRAME, END]), read_headers, (RecordError,), FAR),
    Target("dead frames", changed([DEAD]), read_dead, (RecordError,)),
    Target("detections", json_near(DETECTIONS), read_detection, (RecordError,)),
    Target("events", json_near([EVENT.to_json()]), read_event, (RecordError,)),
    Target("streams", json_near([STREAM.to_json(), CLEAR]), read_stream, (UsageError,), [LONG, SPACED]),
    Target("pipelines", json_near([PIPELINE.to_json(), STRETCHED.to_json()]), read_pipeline, (UsageError,), [LONG]),
    Target("state", json_near(state_samples()), read_state, ()),
    Target("positions", json_near(POSITIONS).map(_text), read_positions, (), [_text(each) for each in FOREIGN]),
)
