"""One thing broken at a time, in a moment that the test chooses; the checker judges what is left."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from streamer.moments import unix_ms
from streamer.records import EndHeader, FrameId
from streamer.settings import Settings, load
from streamer.stack.ports import free_ports
from streamer.topics import topic_names
from streamer.topics_admin import create_topics
from tests.chaos import supervised
from tests.chaos.journal import Journal
from tests.chaos.judge import judge
from tests.chaos.proxy import Proxy
from tests.chaos.strange import put_by_a_jumping_clock, put_pictures, put_strangers
from tests.chaos.verdict import Verdict
from tests.integration.worker_rig import Rig, ends, header, make_model, running
from tests.waiting import eventually


@pytest.fixture
def rig(settings: Settings, tmp_path: Path) -> Iterator[Rig]:
    detect = {"model": str(make_model(tmp_path / "thing.onnx")), "sessions": 1}
    rig = Rig(settings.model_copy(update={"detect": settings.detect.model_copy(update=detect)}))
    yield rig
    rig.close()


def verdict_of(settings: Settings) -> Verdict:
    """On everything that Kafka and Redis hold."""
    journal = Journal(settings.kafka.bootstrap_servers, topic_names(settings.kafka).frames)
    journal.start()
    eventually(journal.has_read_all, "everything is noted")
    journal.stop()
    return judge(settings, journal)


def becomes_clean(settings: Settings) -> Verdict:
    """The verdict, once Redis has followed."""
    eventually(lambda: verdict_of(settings).is_clean, "nothing is missing or too much", timeout_s=15)
    return verdict_of(settings)


def test_bytes_that_are_no_pictures_cost_a_gap_each_and_nothing_else(rig: Rig) -> None:
    rig.define("a")
    with running(rig.settings):
        dead, good = put_pictures(rig, "a")
        put_strangers(rig, "a")
        rig.detections(ends("a"))
        verdict = becomes_clean(rig.settings)
    assert verdict.skipped == {"dead": dead}
    assert verdict.results == good


def test_a_clock_that_jumps_loses_and_doubles_nothing(rig: Rig) -> None:
    rig.define("every", track=True)
    rig.define("latest", freshness="latest", track=True)
    with running(rig.settings):
        count = put_by_a_jumping_clock(rig, "every", "latest")
        rig.detections(ends("every", "latest"))
        verdict = becomes_clean(rig.settings)
    assert verdict.results + sum(verdict.skipped.values()) == 2 * count
    assert verdict.skipped.keys() <= {"stale"}


def test_workers_that_come_and_go_all_the_time_disturb_no_order(rig: Rig) -> None:
    streams = [f"s{number}" for number in range(6)]
    rig.define(*streams, track=True)
    frames = iter(range(1000))

    def some_frames() -> int:
        for number in [next(frames) for _ in range(8)]:
            for stream in streams:
                rig.put(header(stream, number, source_time=number / 10))
        return number + 1

    with ExitStack() as last:
        for number in range(3):
            with running(rig.settings, f"w{number}"):
                some_frames()
                if number == 2:
                    last.enter_context(running(rig.settings, "stays"))
                some_frames()
        count = some_frames()
        for stream in streams:
            rig.put(EndHeader(stream, FrameId(1, count), 1))
        rig.detections(ends(*streams))
        verdict = becomes_clean(rig.settings)
    assert (verdict.results, verdict.gaps) == (count * len(streams), 0)


@pytest.fixture
def cut_off(tmp_path: Path) -> Iterator[tuple[Settings, Settings, Proxy]]:
    """Settings of a broker, the same through a proxy, and the proxy."""
    kafka, behind, controller, redis = free_ports((0, 0, 0, 0))
    with ExitStack() as stack:
        proxy = stack.enter_context(Proxy(behind))
        listeners = supervised.behind(kafka, controller, behind, proxy.port)
        servers = [supervised.broker(tmp_path, kafka, controller, listeners), supervised.mirror(tmp_path, redis)]
        for server in servers:
            stack.callback(server.stop)
            server.start()
        eventually(lambda: all(map(supervised.listens, (kafka, redis))), "both listen")
        direct, cut = (_settings(port, redis, tmp_path) for port in (kafka, proxy.port))
        create_topics(direct)
        yield direct, cut, proxy


def _settings(kafka: int, redis: int, folder: Path) -> Settings:
    model = folder / "thing.onnx"
    found: dict[str, dict[str, Any]] = {
        "kafka": {"bootstrap_servers": f"127.0.0.1:{kafka}", "session_timeout_ms": 2000},
        "redis": {"url": f"redis://127.0.0.1:{redis}/0"},
        "topics": {"partitions": 2, "stream_partitions": 2},
        "detect": {"model": str(model), "sessions": 1},
    }
    if not model.exists():
        make_model(model)
    return load(environ={}, overrides=found)


def test_a_worker_that_is_cut_off_does_no_harm_when_it_is_back(cut_off: tuple[Settings, Settings, Proxy]) -> None:
    direct, cut, proxy = cut_off
    rig = Rig(direct)
    rig.define("a", "b")
    numbers = iter(range(1000))

    def put(count: int) -> int:
        for number in [next(numbers) for _ in range(count)]:
            for stream in ("a", "b"):
                rig.put(header(stream, number))
        return number + 1

    try:
        with running(cut, "far"):
            in_time = 2 * put(10)
            rig.detections(lambda rows: len(rows) >= in_time)
            proxy.cut()
            in_flight = 2 * put(20)  # polled, detected, perhaps sent: nobody can tell
            with running(direct, "near"):
                rig.detections(lambda rows: len(rows) >= in_flight)
                proxy.mend()
                count = put(20)
                for stream in ("a", "b"):
                    rig.put(EndHeader(stream, FrameId(1, count), unix_ms()))
                rig.detections(ends("a", "b"))
                verdict = becomes_clean(direct)
    finally:
        rig.close()
    assert (verdict.results, verdict.gaps) == (2 * count, 0)
