"""What is kept in a real Redis, by age, when workers take turns with a stream."""

import time
import tracemalloc
from pathlib import Path
from typing import Any

import orjson
import pytest
from redis.exceptions import ResponseError

import consumers
from consumers.entry import Row
from consumers.mirroring.mirror import Mirror
from consumers.mirroring.redis_writer import RedisWriter
from streamer.mirror import Keys, connect_redis
from streamer.moments import unix_ms
from streamer.records import FrameId, Result
from tests.integration.worker_rig import Rig, wait_until

AGE_S = 600


def rows(first: int, last: int, written_ms: int | None = None, stream: str = "a") -> list[Row]:
    """Of frames that were captured long ago. written_ms: of what is read from the log."""
    results = [Result("main", stream, FrameId(1, sequence), 0, 8, 8, ()) for sequence in range(first, last)]
    return [Row(0, result, result.to_json(), written_ms) for result in results]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds since it began, to be set."""
    began, passed = time.monotonic(), [0.0]
    monkeypatch.setattr("consumers.mirroring.redis_writer.time.monotonic", lambda: began + passed[0])
    return passed


def kept(rig: Rig) -> list[int]:
    return [int(record["id"].split("-")[1]) for record in rig.mirrored("a")]


def writer(rig: Rig) -> RedisWriter:
    redis = rig.settings.redis.model_copy(update={"max_age_s": AGE_S})
    return RedisWriter(rig.settings.model_copy(update={"redis": redis}))


def test_a_worker_that_gets_a_stream_back_keeps_what_another_wrote_meanwhile(rig: Rig, clock: list[float]) -> None:
    first, second = writer(rig), writer(rig)
    first.write(rows(0, 200))
    for minute in range(1, 11):
        clock[0] = minute * 60
        second.write(rows(200 * minute, 200 * (minute + 1)))
    clock[0] = AGE_S + 30
    first.write(rows(2200, 2201))
    assert kept(rig)[-2001:] == list(range(200, 2201))


def test_what_is_too_old_goes(rig: Rig, clock: list[float]) -> None:
    one = writer(rig)
    for minute in range(21):
        clock[0] = minute * 60
        one.write(rows(200 * minute, 200 * (minute + 1)))
    assert kept(rig)[-2000:] == list(range(2200, 4200))
    assert kept(rig)[0] > 1700, "Redis trims in pieces of 100 records"


def forget(rig: Rig) -> None:
    """As Redis does with a key that has expired, or when it is emptied."""
    with connect_redis(rig.settings.redis) as client:
        client.delete(Keys(rig.settings.redis.prefix).detections("main", "a"))


def test_a_stream_that_was_silent_until_its_key_expired_goes_on(rig: Rig, clock: list[float]) -> None:
    one = writer(rig)
    one.write(rows(0, 5))
    forget(rig)
    clock[0] = AGE_S + rig.settings.redis.latest_ttl_s + 1
    one.write(rows(5, 7))
    assert kept(rig) == [5, 6]


def test_a_stream_that_redis_has_lost_before_its_time_is_told(rig: Rig, clock: list[float]) -> None:
    one = writer(rig)
    one.write(rows(0, 5))
    clock[0] = AGE_S - 1
    one.write(rows(5, 6))
    forget(rig)
    clock[0] += AGE_S - 1
    with pytest.raises(ResponseError, match="EMPTIED"):
        one.write(rows(6, 7))


def test_nothing_is_kept_of_streams_whose_keys_have_expired(rig: Rig, clock: list[float]) -> None:
    mirror = Mirror(rig.settings)  # and its writer
    mirror.check(0, {}, {})
    mirror._step()  # nothing is missing
    tracemalloc.start()
    try:
        held = []
        for day in range(5):
            clock[0] = 86_400 * day
            for number in range(20):
                mirror.write(rows(0, 100, stream=f"clip-{day}-{number}"))
                mirror._step()
            held.append(_held())
    finally:
        tracemalloc.stop()
    assert held[-1] < 1.5 * held[0]


def _held() -> int:
    """Bytes."""
    only = tracemalloc.Filter(True, str(Path(consumers.__file__).parent / "*"))
    return sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces([only]).traces)


def latest(rig: Rig) -> tuple[int, int] | None:
    """Sequence of a stream's latest result, and for how long it will still be that, in ms."""
    key = Keys(rig.settings.redis.prefix).latest("main", "a")
    with connect_redis(rig.settings.redis) as client:
        value: Any = client.get(key)
        left_ms: Any = client.pttl(key)
    return None if value is None else (orjson.loads(value)["sequence"], left_ms)


def test_a_repair_makes_no_result_of_a_silent_stream_the_latest(rig: Rig) -> None:
    writer(rig).write(rows(0, 5, written_ms=unix_ms() - 1000 * rig.settings.redis.latest_ttl_s), {})
    assert kept(rig) == list(range(5))
    wait_until(lambda: latest(rig) is None, timeout_s=5)


def test_a_result_that_a_repair_makes_the_latest_is_that_no_longer_than_it_would_have_been(rig: Rig) -> None:
    left_ms = 40_000
    writer(rig).write(rows(0, 5, written_ms=unix_ms() - 1000 * rig.settings.redis.latest_ttl_s + left_ms), {})
    found = latest(rig)
    assert found is not None
    assert found[0] == 4
    assert 0 < found[1] <= left_ms


@pytest.mark.parametrize("ahead_ms", [None, 3_600_000])
def test_a_result_that_comes_late_or_by_a_clock_that_is_ahead_is_the_latest_for_its_time(
    rig: Rig, ahead_ms: int | None
) -> None:
    writer(rig).write(rows(0, 5, written_ms=None if ahead_ms is None else unix_ms() + ahead_ms))
    found = latest(rig)
    assert found is not None
    assert found[0] == 4
    assert 0 < found[1] <= 1000 * rig.settings.redis.latest_ttl_s
