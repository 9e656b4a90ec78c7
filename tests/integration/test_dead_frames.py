"""Frames that nobody survives: really crashing workers, and what is on the topics in the end."""

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import pytest
from kafka.errors import KafkaTimeoutError

from consumers.commit import Committer
from consumers.entry import Batch
from engines.onnxruntime_engine import OnnxRuntimeEngine
from streamer.broker import connect_admin
from streamer.errors import StreamerError
from streamer.moments import unix_ms
from streamer.records import DeadCause, DeadFrame, Death, EndHeader, FrameId, parse_dead
from streamer.settings import Settings
from streamer.topics import topic_names
from tests.integration import mortal_worker
from tests.integration.mortal_worker import WHITE
from tests.integration.worker_rig import Rig, ends, environment, header, outline, read_records, running, wait_until

ROOT = Path(__file__).resolve().parents[2]


class Restarter:
    """Starts a worker again whenever it has died, as Kubernetes does."""

    def __init__(self, settings: Settings, fault: str, name: str, **variables: str) -> None:
        self._command = [sys.executable, "-m", "tests.integration.mortal_worker", fault, "detect"]
        self._environment = environment(settings) | {
            "STREAMER_DETECT__MODEL": settings.detect.model,
            "STREAMER_DETECT__SESSIONS": "2",
            "STREAMER_DETECT__TRIES": "2",
            "STREAMER_DETECT__TRANSACTION_TIMEOUT_MS": "1000",
            "STREAMER_KAFKA__SESSION_TIMEOUT_MS": "1000",
            "STREAMER_KAFKA__INSTANCE": name,
            **variables,
        }
        self.deaths: list[int] = []
        self.process = self._start()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _start(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            self._command, cwd=ROOT, env=self._environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def _watch(self) -> None:
        while True:
            status = self.process.wait()
            if self._ending.is_set():
                return
            self.deaths.append(status)
            self.process = self._start()

    def close(self) -> None:
        """Ends it for good."""
        self._ending.set()
        self.process.kill()
        self._thread.join(10)
        self.process.kill()  # started in the same moment
        self.process.wait(10)


@contextmanager
def restarting(settings: Settings, fault: str, name: str = "w", **variables: str) -> Iterator[Restarter]:
    """A worker that is there again and again."""
    worker = Restarter(settings, fault, name, **variables)
    try:
        yield worker
    finally:
        worker.close()


def dead_frames(rig: Rig, count: int) -> list[DeadFrame]:
    topic = topic_names(rig.settings.kafka).dead
    records = read_records(rig.settings, topic, lambda rows: len(rows) >= count)
    return [parse_dead(record.headers, record.value, record.timestamp) for record in records]


def put(rig: Rig, stream: str, count: int, white: Sequence[int] = ()) -> None:
    rig.define(stream)
    for sequence in range(count):
        rig.put(header(stream, sequence), WHITE if sequence in white else None)
    rig.put(EndHeader(stream, FrameId(1, count), unix_ms()))


def expected(count: int, dead: Sequence[int] = ()) -> list[str]:
    return [*(f"{n}-{n} dead" if n in dead else str(n) for n in range(count)), f"{count} end"]


def test_a_frame_that_ends_the_process_is_set_aside_and_nothing_else(rig: Rig) -> None:
    streams = {"a": (17,), "b": (), "c": (), "d": ()}
    for stream, white in streams.items():
        put(rig, stream, 20, white)
    with restarting(rig.settings, "abort") as worker:
        rig.detections(ends(*streams), timeout_s=100)
        deaths = list(worker.deaths)
        put(rig, "later", 5)
        rows = rig.detections(ends("later"))
        assert worker.deaths == deaths
    for stream, white in streams.items():
        assert outline(rows, stream) == expected(20, white)
    (dead,) = dead_frames(rig, 1)
    assert dead.header is not None
    assert (dead.stream, dead.header.id, dead.jpeg) == ("a", FrameId(1, 17), WHITE)
    assert dead.death == Death(DeadCause.FATAL, "ended the worker, alone with it, 2 times in a row", 2)
    # Two alone, before them two that narrowed it down, and maybe one behind which there was progress.
    assert set(deaths) == {-signal.SIGABRT}
    assert 4 <= len(deaths) <= 5


def test_a_frozen_worker_that_wakes_changes_nothing(rig: Rig) -> None:
    put(rig, "a", 20, (7,))
    with restarting(rig.settings, "freeze") as frozen:
        wait_until(lambda: _is_stopped(frozen.process.pid), timeout_s=40)
        with running(rig.settings, "successor"):
            rows = rig.detections(ends("a"))
            frozen.process.send_signal(signal.SIGCONT)
            wait_until(lambda: not _is_stopped(frozen.process.pid))
            # It has found out when it is a member again, and takes its share.
            put(rig, "b", 20)
            put(rig, "c", 20)
            wait_until(lambda: _members(rig.settings) == 2)
            rows = rig.detections(ends("a", "b", "c"))
    assert [outline(rows, stream) for stream in "abc"] == [expected(20)] * 3
    assert read_records(rig.settings, topic_names(rig.settings.kafka).dead, lambda _: True) == []


def _is_stopped(process: int) -> bool:
    return psutil.Process(process).status() == psutil.STATUS_STOPPED


def _members(settings: Settings) -> int:
    group = topic_names(settings.kafka).worker_group(settings.detect.pipeline)
    with closing(connect_admin(settings.kafka)) as admin:
        return len(admin.describe_groups([group])[group]["members"])


@pytest.mark.parametrize("committed", [True, False])
def test_a_transaction_of_unknown_end_sets_a_frame_aside_once(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, committed: bool
) -> None:
    attempt, failures = Committer._attempt, iter([True, True])

    def failing(self: Committer, batch: Batch) -> None:
        fails = bool(batch.dead) and next(failures, False)
        if committed or not fails:
            attempt(self, batch)
        if fails:
            raise KafkaTimeoutError("the broker's answer did not come")

    monkeypatch.setattr(Committer, "_attempt", failing)
    rig.define("a")
    for sequence in range(6):
        rig.put(header("a", sequence), b"no picture" if sequence == 3 else None)
    rig.put(EndHeader("a", FrameId(1, 6), unix_ms()))
    with running(rig.settings):
        rows = rig.detections(ends("a"))
    assert outline(rows, "a") == expected(6, (3,))
    (dead,) = dead_frames(rig, 1)
    assert (dead.death.cause, dead.jpeg) == (DeadCause.UNREADABLE, b"no picture")


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Gives the engines of this process a fault; it is gone after the test."""
    monkeypatch.setattr(OnnxRuntimeEngine, "infer", OnnxRuntimeEngine.infer)
    return mortal_worker.faulty


def test_a_frame_at_which_the_engine_fails_is_set_aside(rig: Rig, faulty: Callable[[str], None]) -> None:
    faulty("raise")
    put(rig, "a", 12, (5, 9))
    with running(rig.settings):
        rows = rig.detections(ends("a"))
    assert outline(rows, "a") == expected(12, (5, 9))
    dead = dead_frames(rig, 2)
    reason = "RuntimeError: an assertion of the engine failed"
    assert [each.death for each in dead] == [Death(DeadCause.FAILED, reason, 3)] * 2
    assert {row["detail"] for row in rows if row["kind"] == "gap"} == {reason}


def test_a_failure_that_passes_costs_no_frame(rig: Rig, faulty: Callable[[str], None]) -> None:
    faulty("once")
    put(rig, "a", 12)
    with running(rig.settings):
        rows = rig.detections(ends("a"))
    assert outline(rows, "a") == expected(12)


def test_an_engine_that_fails_at_every_picture_ends_the_worker_and_condemns_nobody(
    rig: Rig, faulty: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    faulty("broken")
    put(rig, "a", 12, (5,))
    with pytest.raises(StreamerError, match=r"lane-\d failed: an assertion"), running(rig.settings) as worker:
        wait_until(lambda: worker.not_ready == "stopping")
    monkeypatch.undo()
    with running(rig.settings):
        rows = rig.detections(ends("a"))
    assert outline(rows, "a") == expected(12)


def test_an_engine_that_hangs_ends_the_worker_and_the_next_one_goes_on(
    rig: Rig, faulty: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    faulty("hang")
    put(rig, "a", 12, (5,))
    detect = rig.settings.detect.model_copy(update={"stuck_after_s": 1.0, "drain_timeout_s": 0.5})
    impatient = rig.settings.model_copy(update={"detect": detect})
    with (
        pytest.raises(StreamerError, match=r"lane-\d failed: the detector has not come back for 1 s"),
        running(impatient) as worker,
    ):
        wait_until(lambda: worker.not_ready == "stopping")
    monkeypatch.undo()
    mortal_worker.let_go.set()
    with running(rig.settings):
        rows = rig.detections(ends("a"))
    assert outline(rows, "a") == expected(12)
