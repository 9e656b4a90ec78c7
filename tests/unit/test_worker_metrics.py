"""What a worker says on /metrics of what it has committed."""

import time
from uuid import uuid4

import pytest
from prometheus_client import REGISTRY

from consumers.counting import count
from consumers.entry import Batch, Entry, Row
from streamer.records import (
    BBox,
    DeadCause,
    Death,
    DetectedObject,
    Detection,
    Event,
    EventKind,
    FrameId,
    Gap,
    GapReason,
    Result,
)

CAR = DetectedObject("0", BBox(1, 2, 3, 4), "car", 0.5)
PERSON = DetectedObject("1", BBox(1, 2, 3, 4), "person", 0.5)


def sample(name: str, **labels: str) -> float:
    value = REGISTRY.get_sample_value(f"streamer_detect_{name}", labels)
    return value or 0.0


def result(pipeline: str, stream: str, sequence: int, *objects: DetectedObject, age_ms: int = 0) -> Result:
    captured_ms = time.time_ns() // 1_000_000 - age_ms
    latency_ms = {"transport": -3.0, "wait": 2.0, "decode": 1.0, "detect": 30.0}
    return Result(pipeline, stream, FrameId(1, sequence), captured_ms, 8, 8, objects, latency_ms=latency_ms)


def batch(*records: Detection | Event) -> Batch:
    return Batch(None, rows=[Row(0, record, b"{}") for record in records])


def test_what_is_committed_is_counted_by_stream_outcome_and_type() -> None:
    pipeline = uuid4().hex
    gap = Gap(pipeline, "a", FrameId(1, 2), 4, GapReason.STALE, 0)
    endless = Gap(pipeline, "a", FrameId(1, 5), None, GapReason.STALE, 0)
    event = Event(pipeline, "b", FrameId(1, 0), 0, "x", EventKind.NEW, CAR, 0, 0, 0.0)
    written = batch(
        result(pipeline, "a", 0, CAR, PERSON, age_ms=5_000),
        result(pipeline, "a", 1, CAR, age_ms=2_000),
        result(pipeline, "b", 0, age_ms=60_000),
        *(gap, endless, event),
    )
    broken = Entry(0, 0, None, None, b"", 0)
    broken.dead = Death(DeadCause.STRANGER, "no headers")
    written.dead.append(broken)
    count(written, pipeline)
    count(batch(result(pipeline, "b", 1, PERSON)), pipeline)
    found = {
        (stream, outcome): sample("frames_total", pipeline=pipeline, stream=stream, outcome=outcome)
        for stream in ("a", "b")
        for outcome in ("result", "stale")
    }
    assert found == {("a", "result"): 2, ("b", "result"): 2, ("a", "stale"): 3, ("b", "stale"): 0}
    assert sample("objects_total", pipeline=pipeline, type="car") == 2
    assert sample("objects_total", pipeline=pipeline, type="person") == 2
    assert sample("events_total", pipeline=pipeline, stream="b", kind="new") == 1
    assert sample("dead_frames_total", pipeline=pipeline, cause="stranger") == 1
    assert sample("age_seconds_count", pipeline=pipeline) == 4
    assert sample("stream_age_seconds", pipeline=pipeline, stream="a") == pytest.approx(2, abs=1)


@pytest.mark.parametrize(("stage", "seconds"), [("transport", 0), ("wait", 0.004), ("decode", 0.002), ("detect", 0.06)])
def test_the_time_of_every_stage_is_there(stage: str, seconds: float) -> None:
    """A clock that runs behind the producer's makes no negative time."""
    pipeline = uuid4().hex
    count(batch(result(pipeline, "a", 0), result(pipeline, "a", 1)), pipeline)
    assert sample("stage_seconds_sum", pipeline=pipeline, stage=stage) == pytest.approx(seconds)
    assert sample("stage_seconds_count", pipeline=pipeline, stage=stage) == 2
