"""What a worker says on /metrics of what it has committed."""

from collections.abc import Iterator
from uuid import uuid4

import pytest
from prometheus_client import REGISTRY

from consumers.entry import Batch, Entry, Row
from consumers.telemetry import metrics, stream_ages
from consumers.telemetry.counting import count
from consumers.telemetry.stream_ages import STREAM_AGES
from streamer.moments import unix_ms
from streamer.records import (
    BBox,
    DeadCause,
    Death,
    DetectedObject,
    Detection,
    End,
    Event,
    EventKind,
    FrameHeader,
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
    captured_ms = unix_ms() - age_ms
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


def test_a_stream_that_the_worker_forgets_is_no_longer_counted() -> None:
    pipeline = uuid4().hex
    gap = Gap(pipeline, "a", FrameId(1, 2), 4, GapReason.STALE, 0)
    happened = [Event(pipeline, "a", FrameId(1, 0), 0, "x", kind, CAR, 0, 0, 0.0) for kind in EventKind]
    count(batch(result(pipeline, "a", 0), result(pipeline, "b", 0), gap, *happened), pipeline)
    for stream in ("a", "b"):
        metrics.REPEATS.labels(pipeline, stream).inc()
    count(Batch(None, forgotten=[(0, "a"), (0, "never counted")]), pipeline)
    left = {
        (one.name, one.labels["stream"])
        for metric in (metrics.FRAMES, metrics.REPEATS, metrics.EVENTS)
        for family in metric.collect()
        for one in family.samples
        if one.labels["pipeline"] == pipeline and one.name.endswith("_total")
    }
    assert left == {("streamer_detect_frames_total", "b"), ("streamer_detect_repeats_total", "b")}


class Ages:
    """Commits frames of partitions 0 and 1, and asks /metrics how old results are when the clock stands at `now`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pipeline, self.owned, self.now = uuid4().hex, {0, 1}, 100.0
        monkeypatch.setattr(stream_ages, "unix_ms", lambda: int(self.now * 1000))

    def owns(self, partition: int) -> bool:
        return partition in self.owned

    def commit(self, stream: str, at: float, outcome: GapReason | End | None = None, partition: int = 0) -> None:
        """A frame that was captured `at`, with a result unless something else came of it."""
        header = FrameHeader(stream, FrameId(1, 0), int(at * 1000), 0, 8, 8, 8, 8, (1, 0, 0, 0, 1, 0))
        entry = Entry(partition, 0, None, header, b"", 0)
        entry.outcome = outcome or result(self.pipeline, stream, 0)
        count(Batch(None, entries=[entry]), self.pipeline)

    def of(self, stream: str) -> float | None:
        return REGISTRY.get_sample_value(
            "streamer_detect_stream_age_seconds", {"pipeline": self.pipeline, "stream": stream}
        )


@pytest.fixture
def ages(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ages]:
    ages = Ages(monkeypatch)
    STREAM_AGES.watch(ages.pipeline, ages.owns)
    yield ages
    STREAM_AGES.unwatch(ages.pipeline, ages.owns)
    assert ages.of("a") is None


def test_the_age_of_results_grows_while_nothing_is_committed(ages: Ages) -> None:
    ages.commit("a", 98)
    assert ages.of("a") == pytest.approx(2)
    ages.now += 60
    assert ages.of("a") == pytest.approx(62)
    ages.commit("a", 159)
    assert ages.of("a") == pytest.approx(1)
    ages.commit("a", 161)  # by a clock that runs ahead of ours
    assert ages.of("a") == 0


def test_a_frame_that_was_spared_is_as_good_as_a_result_and_one_that_was_skipped_is_not(ages: Ages) -> None:
    ages.commit("a", 90)
    ages.commit("a", 99, GapReason.UNCHANGED)
    ages.commit("a", 100, GapReason.STALE)
    assert ages.of("a") == pytest.approx(1)


def test_a_run_that_is_over_and_a_partition_that_went_away_have_no_age(ages: Ages) -> None:
    ages.commit("a", 98)
    ages.commit("b", 98, partition=1)
    ages.commit("a", 99, End(ages.pipeline, "a", FrameId(1, 1), 99_000))
    assert (ages.of("a"), ages.of("b")) == (None, pytest.approx(2))
    ages.owned.remove(1)
    assert ages.of("b") is None


@pytest.mark.parametrize(("stage", "seconds"), [("transport", 0), ("wait", 0.004), ("decode", 0.002), ("detect", 0.06)])
def test_the_time_of_every_stage_is_there(stage: str, seconds: float) -> None:
    """A clock that runs behind the producer's makes no negative time."""
    pipeline = uuid4().hex
    count(batch(result(pipeline, "a", 0), result(pipeline, "a", 1)), pipeline)
    assert sample("stage_seconds_sum", pipeline=pipeline, stage=stage) == pytest.approx(seconds)
    assert sample("stage_seconds_count", pipeline=pipeline, stage=stage) == 2
