"""A worker's main loop: what passes is tried again, what lasts ends it."""

import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kafka.errors import KafkaError

from consumers.worker import Worker
from streamer.errors import ServiceError, StreamerError
from streamer.settings import DetectSettings, Settings


class Rig:
    """A worker without its threads. checks: what each look at the pipeline's model raises; the last stops it."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, *checks: Exception | None, retry_timeout_s: float = 300
    ) -> None:
        monkeypatch.setattr("consumers.worker._RETRY_S", 0.001)
        monkeypatch.setattr("consumers.worker._RETRY_MOST_S", 0.001)
        self.stopping, self.checks, self.steps = threading.Event(), list(checks), 0
        self.worker = Worker(Settings(detect=DetectSettings(retry_timeout_s=retry_timeout_s)), "w")
        monkeypatch.setattr(self.worker, "_start", lambda *_: None)
        monkeypatch.setattr(self.worker, "_stop", lambda: None)
        monkeypatch.setattr(self.worker._intake, "step", self._step)
        monkeypatch.setattr(self.worker._registration, "check", self._check)

    def _step(self, timeout_ms: Any) -> None:
        self.steps += 1

    def _check(self) -> None:
        error = self.checks.pop(0)
        if not self.checks:
            self.stopping.set()
        if error is not None:
            raise error


def test_a_pipeline_s_record_that_can_t_be_read_for_a_while_is_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(monkeypatch, ServiceError("no broker"), ServiceError("no broker"), None)
    rig.worker.run(rig.stopping)
    assert (rig.checks, rig.steps) == ([], 3)


def test_one_that_can_t_be_read_for_too_long_ends_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(monkeypatch, *[ServiceError("no broker")] * 1000, retry_timeout_s=0.01)
    with pytest.raises(ServiceError, match="no broker"):
        rig.worker.run(rig.stopping)


def test_another_model_ends_the_worker_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(monkeypatch, StreamerError("runs another model now"), None)
    with pytest.raises(StreamerError, match="another model"):
        rig.worker.run(rig.stopping)
    assert rig.steps == 1


def test_a_lane_that_hangs_leaves_time_to_commit_what_the_others_have_done(monkeypatch: pytest.MonkeyPatch) -> None:
    worker, now, limits = Worker(Settings(detect=DetectSettings(drain_timeout_s=10)), "w"), [0.0], list[float]()

    def join(timeout_s: float) -> None:
        limits.append(timeout_s)
        now[0] += timeout_s

    lane: Any = SimpleNamespace(stop=lambda: None, is_alive=lambda: True, join=join)
    monkeypatch.setattr("streamer.lifecycle.time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr("consumers.worker.STREAM_AGES", SimpleNamespace(unwatch=lambda *_: None))
    monkeypatch.setattr(worker, "_lanes", [lane, lane])
    monkeypatch.setattr(worker._intake, "close", limits.append)
    worker._stop()
    assert limits == [8, 0, 2]


@pytest.mark.parametrize("model", [None, "no such model.onnx"])
def test_a_worker_that_can_not_start_says_why_and_nothing_else(tmp_path: Path, model: str | None) -> None:
    """On a machine without TensorRT, whether this one is or not."""
    engine = [] if model else ["--engine", "tensorrt"]
    words = ["detect", "--model", model or "street", *engine]
    code = f"""
import sys
sys.modules.update(dict.fromkeys(["tensorrt", "tensorrt_bindings"]))
from streamer.__main__ import main
sys.exit(main({words!r}))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert (done.stdout, done.stderr.count("\n")) == ("", 1), done.stderr
    assert done.stderr.startswith("streamer detect: ")


def test_a_poll_that_fails_because_the_worker_stops_is_no_failure(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rig = Rig(monkeypatch, KafkaError("told to stop"))
    rig.worker.run(rig.stopping)
    assert "polling failed" not in caplog.text
