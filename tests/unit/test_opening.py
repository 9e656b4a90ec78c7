"""A worker while its engine is built: what it says, and that it can be stopped."""

import logging
import threading
import time
from typing import Any

import pytest

from consumers.lanes import opening
from consumers.lanes.opening import open_watched
from engines.progress import BuildStopped, told
from streamer.errors import ModelError
from streamer.settings import DetectSettings
from tests.integration.worker_rig import wait_until


class Builder:
    """Stands in for `open_detectors`: builds a step whenever it is let, until told to stop."""

    def __init__(self, obeys: bool = True, begins: bool = True) -> None:
        self.obeys, self.begins = obeys, begins
        self.go, self.end = threading.Semaphore(0), threading.Event()
        self.thread = ""

    def __call__(self, settings: DetectSettings) -> list[Any]:
        self.thread = threading.current_thread().name
        progress, step = told(), 0
        if self.begins:
            progress.phase_start("Timing", None, 4)
        while step < 4 and not (self.obeys and progress.stopped):
            if self.go.acquire(timeout=0.01):
                progress.step_complete("Timing", step)
                step += 1
            elif self.end.is_set():
                break
        if progress.stopped:
            raise BuildStopped
        return ["detector"]


class Opening:
    """`open_watched` in a thread."""

    def __init__(self, settings: DetectSettings | None = None) -> None:
        self.stopping, self.words = threading.Event(), [""]
        self.found: list[Any] = []
        self._settings = settings or DetectSettings()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.found.append(open_watched(self._settings, self.stopping, self.words.append))
        except Exception as error:
            self.found.append(error)

    def outcome(self) -> Any:
        self.thread.join(10)
        [found] = self.found
        return found


@pytest.fixture
def builder(monkeypatch: pytest.MonkeyPatch) -> Builder:
    made = Builder()
    monkeypatch.setattr(opening, "open_detectors", made)
    monkeypatch.setattr(opening, "_LOOK_S", 0.005)
    return made


def test_readiness_says_how_far_the_build_is(builder: Builder) -> None:
    worker = Opening()
    wait_until(lambda: worker.words[-1].startswith("building the engine: 0% after 0 s"))
    builder.go.release(2)
    wait_until(lambda: worker.words[-1] == "building the engine: 50% after 0 s, about 0 s left: Timing")
    builder.go.release(2)
    assert worker.outcome() == ["detector"]


def test_a_model_that_needs_no_build_is_only_opened(builder: Builder) -> None:
    builder.begins = False
    worker = Opening()
    wait_until(lambda: worker.words[-1] == "opening the model for 0 s")
    builder.end.set()
    assert worker.outcome() == ["detector"]


def test_the_log_says_it_now_and_then(
    builder: Builder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(opening, "_SAY_S", 0.02)
    builder.go.release(1)
    worker = Opening()
    wait_until(lambda: any("building the engine: 25%" in words for words in caplog.messages))
    builder.go.release(3)
    assert worker.outcome() == ["detector"]


def test_a_worker_that_is_told_to_stop_ends_its_build(builder: Builder) -> None:
    worker = Opening()
    wait_until(lambda: worker.words[-1].startswith("building"))
    worker.stopping.set()
    assert isinstance(worker.outcome(), BuildStopped)


def test_it_does_not_wait_for_a_build_that_goes_on(builder: Builder) -> None:
    builder.obeys = False
    began = time.monotonic()
    worker = Opening(DetectSettings(drain_timeout_s=0.1))
    wait_until(lambda: worker.words[-1].startswith("building"))
    worker.stopping.set()
    assert isinstance(worker.outcome(), BuildStopped)
    assert time.monotonic() - began < 5
    builder.end.set()


def test_what_can_not_be_opened_is_said_by_the_thread_that_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: DetectSettings) -> list[Any]:
        raise ModelError("street.onnx: damaged")

    monkeypatch.setattr(opening, "open_detectors", refuse)
    with pytest.raises(ModelError, match=r"street\.onnx: damaged"):
        open_watched(DetectSettings(), threading.Event(), lambda words: None)
