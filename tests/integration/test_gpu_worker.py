"""Whole workers with engine tensorrt on a simulated GPU: their results, their build, and what a GPU does to them."""

import re
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from streamer.settings import Settings
from tests.conftest import need
from tests.integration.worker_rig import Rig, ends, environment, outline, running, wait_until
from tests.kernels.on_cpu import compile_kernels, compiler

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need(compiler() is not None, "a C++ compiler (Debian: g++)")
    return compile_kernels(tmp_path_factory.mktemp("kernels") / "kernels.so", "-shared", "-fPIC")


class GpuWorker:
    """A process. lines: what it has said so far."""

    def __init__(self, settings: Settings, kernels: Path, fault: str, cache: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.simulated_gpu_worker", str(kernels), fault, "detect"],
            cwd=ROOT,
            env=environment(settings)
            | {
                "STREAMER_DETECT__MODEL": settings.detect.model,
                "STREAMER_DETECT__ENGINE": "tensorrt",
                "STREAMER_DETECT__SHARE_CORES": "64",
                "STREAMER_TENSORRT__CACHE": str(cache),
                "STREAMER_TELEMETRY__PORT": "0",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(line.rstrip())

    def ready(self) -> tuple[int, str]:
        """What /readyz answers."""
        wait_until(lambda: re.search(r"telemetry on (http://\S+)/metrics", "\n".join(self.lines)))
        found = re.search(r"telemetry on (http://\S+)/metrics", "\n".join(self.lines))
        assert found is not None
        try:
            with urllib.request.urlopen(f"{found[1]}/readyz", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def stop(self) -> int:
        """Its exit status."""
        self._process.send_signal(signal.SIGTERM)
        return self.ended()

    def ended(self) -> int:
        """Its exit status, once it has ended by itself."""
        status = self._process.wait(30)
        self._reader.join(10)
        return status

    def close(self) -> None:
        """For good."""
        self._process.kill()
        self._process.wait(10)
        self._reader.join(10)
        assert self._process.stdout is not None
        self._process.stdout.close()


@contextmanager
def gpu_worker(rig: Rig, kernels: Path, fault: str, cache: Path) -> Iterator[GpuWorker]:
    worker = GpuWorker(rig.settings, kernels, fault, cache)
    try:
        yield worker
    finally:
        worker.close()


def test_results_are_those_of_a_worker_on_the_cpu(rig: Rig, kernels: Path, tmp_path: Path) -> None:
    rig.define("a", "b", pipelines=("main", "aside"))
    aside = rig.settings.detect.model_copy(update={"pipeline": "aside"})
    on_cpu = running(rig.settings.model_copy(update={"detect": aside}))
    with on_cpu as other, gpu_worker(rig, kernels, "none", tmp_path / "engines") as worker:
        wait_until(lambda: other.not_ready is None)
        for stream in ("a", "b"):
            rig.put_run(stream, 20)
        rows = rig.detections(lambda rows: sum(row["kind"] == "end" for row in rows) == 4, timeout_s=60)
        assert worker.ready()[0] == 200
        assert worker.stop() == 0
    assert not [line for line in worker.lines if "Traceback" in line or " ERROR " in line]
    assert any(line.endswith("ready with 2 lanes") for line in worker.lines), "however few cores it has"
    for stream in ("a", "b"):
        assert outline(rows, stream) == outline(rows, stream, "aside") == [*map(str, range(20)), "20 end"]
    boxes = {
        pipeline: [row["objects"] for row in rows if row["pipeline"] == pipeline and row["kind"] == "frame"]
        for pipeline in ("main", "aside")
    }
    assert all(len(objects) == 1 for objects in boxes["main"])
    for ours, theirs in zip(boxes["main"], boxes["aside"], strict=True):
        assert ours[0]["type"] == theirs[0]["type"]
        assert ours[0]["bbox"] == pytest.approx(theirs[0]["bbox"], abs=0.05)


def test_frames_of_a_worker_whose_gpu_is_lost_are_done_by_another_once(rig: Rig, kernels: Path, tmp_path: Path) -> None:
    rig.define("a", "b")
    for stream in ("a", "b"):
        rig.put_run(stream, 30)
    with gpu_worker(rig, kernels, "lost", tmp_path / "engines") as worker:
        assert worker.ended() == 1
    assert "the GPU failed" in worker.lines[-1]
    assert "Traceback" not in "\n".join(worker.lines)
    with running(rig.settings):
        rows = rig.detections(ends("a", "b"), timeout_s=60)
    for stream in ("a", "b"):
        assert outline(rows, stream) == [*map(str, range(30)), "30 end"]


@pytest.mark.parametrize(
    ("fault", "words"), [("memory", "out of memory on the GPU"), ("driver", "driver is missing or too old")]
)
def test_a_gpu_that_can_not_be_used_is_said_in_one_line(
    rig: Rig, kernels: Path, tmp_path: Path, fault: str, words: str
) -> None:
    with gpu_worker(rig, kernels, fault, tmp_path / "engines") as worker:
        assert worker.ended() == 1
    assert words in worker.lines[-1]
    assert "Traceback" not in "\n".join(worker.lines)


def test_a_worker_that_builds_says_how_far_it_is_and_can_be_stopped(rig: Rig, kernels: Path, tmp_path: Path) -> None:
    with gpu_worker(rig, kernels, "slow", tmp_path / "engines") as worker:
        wait_until(lambda: "building the engine: 50%" in worker.ready()[1])
        status, words = worker.ready()
        assert status == 503
        assert re.search(r"50% after \d+ s, about \d+ s left: Timing tactics", words)
        assert worker.stop() == 0
    assert "stopped before its engine was built" in "\n".join(worker.lines)
