"""`streamer run` and `streamer demo` as a user calls them: whole processes on a real Kafka and Redis."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from streamer.broker import connect_consumer
from streamer.children import environment_of
from streamer.records import End, Result, parse_detection
from streamer.settings import Settings, load
from streamer.stack import Addresses
from tests.unit.networks import constant_network

FRAMES = 38  # in dashcam_720p.mp4


@pytest.fixture
def here(stack: Addresses) -> Settings:
    """Only addresses: these commands make their own topics."""
    return load(
        environ={},
        overrides={
            "kafka": {"bootstrap_servers": stack.kafka},
            "redis": {"url": stack.redis},
            "topics": {"partitions": 2, "stream_partitions": 2},
        },
    )


def start(settings: Settings, *words: object) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "streamer", *map(str, words)]
    return subprocess.Popen(
        command, env=environment_of(settings), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    out, err = process.communicate(timeout=100)
    return process.returncode, out, err


def call(settings: Settings, *words: object) -> tuple[int, str, str]:
    return finish(start(settings, *words))


def wait_until(condition: Callable[[], object], timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "not within the time"
        time.sleep(0.05)


@pytest.fixture(autouse=True)
def nothing_is_left(here: Settings) -> Iterator[None]:
    """After each of these tests no topic and no process of it is there; the processes may take a moment."""
    yield
    wait_until(lambda: not any("streamer.child" in " ".join(p.cmdline()) for p in psutil.Process().children(True)))
    consumer = connect_consumer(here.kafka)
    left = [topic for topic in consumer.topics() if topic.startswith(("run-", "demo-"))]
    consumer.close()
    assert left == []


@pytest.fixture
def clip(shared: Path) -> Path:
    return shared / "videos" / "dashcam_720p.mp4"


@pytest.fixture
def model(shared: Path) -> Path:
    return shared / "models" / "yolox_nano_as_v8.onnx"


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    file = tmp_path / "broken.mp4"
    file.write_bytes(b"this is no video" * 100)
    return file


def test_run_detects_in_every_frame_and_names_the_source_that_failed(
    here: Settings, clip: Path, model: Path, broken: Path, tmp_path: Path
) -> None:
    output = tmp_path / "results.jsonl"
    status, out, err = call(here, "run", f"{clip},{broken}", "--model", model, "--output", output)
    records = [parse_detection(line) for line in output.read_text().splitlines()]
    results = [record for record in records if isinstance(record, Result)]
    ends = {record.stream: record for record in records if isinstance(record, End)}
    assert [result.id.sequence for result in results] == list(range(FRAMES))
    assert {result.stream for result in results} == {"dashcam_720p"}
    assert sum(found.type == "car" for result in results for found in result.objects) > FRAMES
    assert (ends["dashcam_720p"].id.sequence, ends["dashcam_720p"].error) == (FRAMES, "")
    assert ends["broken"].error
    assert (status, out) == (1, "")
    assert "failed" in err
    assert "complete" in err
    assert "Traceback" not in err


def test_run_with_two_workers_writes_to_stdout(here: Settings, clip: Path, model: Path, tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / "clips" / name).symlink_to(clip)
    status, out, err = call(here, "run", tmp_path / "clips", "--model", model, "--workers", 2, "--transport", "network")
    assert status == 0, err
    records = [json.loads(line) for line in out.splitlines()]
    for stream in ("a", "b"):
        sequences = [r["sequence"] for r in records if r["kind"] == "frame" and r["sensorId"] == stream]
        assert sequences == list(range(FRAMES))


def test_what_is_said_of_a_source_is_done_to_it(here: Settings, tmp_path: Path) -> None:
    """Nothing is seen in what is masked or cut away, and who stays keeps the id."""
    output, street = tmp_path / "results.jsonl", "synthetic:?frames=40&fps=10&seed=3"
    words = ("--track", "--crop", "0,200,1280,500", "--mask", "0,0;400,0;400,720;0,720")
    status, _, err = call(here, "run", street, *words, "--output", output)
    assert status == 0, err
    found = [r.objects for line in output.read_text().splitlines() if isinstance(r := parse_detection(line), Result)]
    assert len(found) == 40
    boxes = [one.bbox for objects in found for one in objects]
    assert min(box.top for box in boxes) >= 200
    assert min(box.left + box.right for box in boxes) / 2 > 400
    seen = Counter(one.id for objects in found for one in objects)
    assert seen.most_common(1)[0][1] > 30


def test_a_part_that_dies_is_named(here: Settings, model: Path, shared: Path) -> None:
    process = start(here, "run", shared / "videos" / "people_one_by_one.mp4", "--model", model)
    assert process.stdout is not None
    assert process.stdout.readline()
    [worker] = [part for part in psutil.Process(process.pid).children() if "detect" in part.cmdline()]
    worker.kill()
    status, _, err = finish(process)
    assert status == 1
    assert "the worker ended with status -9; it said last:" in err
    assert "Traceback" not in err


def test_what_only_a_part_can_refuse_is_one_line_too(here: Settings, clip: Path, tmp_path: Path) -> None:
    model = constant_network(tmp_path / "classifier.onnx", {"scores": np.ones((1, 1000), np.float32)})
    status, out, err = call(here, "run", clip, "--model", model)
    assert (status, out) == (2, "")
    assert err.startswith(f"streamer run: {model}: no head knows the layout of its outputs")
    assert err.count("\n") == 1


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 130)])
def test_stopping_a_run_leaves_nothing(here: Settings, model: Path, shared: Path, number: int, status: int) -> None:
    process = start(here, "run", shared / "videos" / "people_one_by_one.mp4", "--model", model)
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["kind"] == "frame"
    process.send_signal(number)
    found, _, err = finish(process)
    assert found == status
    assert "not finished" in err


def test_a_killed_run_takes_its_parts_along(here: Settings, model: Path, shared: Path) -> None:
    process = start(here, "run", shared / "videos" / "people_one_by_one.mp4", "--model", model)
    assert process.stdout is not None
    process.stdout.readline()
    parts = psutil.Process(process.pid).children()
    assert len(parts) == 2
    process.kill()
    finish(process)
    wait_until(lambda: not any(part.is_running() for part in parts), timeout_s=30)
    _delete_what_a_killed_run_leaves(here)


def _delete_what_a_killed_run_leaves(settings: Settings) -> None:
    from streamer.broker import connect_admin

    admin = connect_admin(settings.kafka)
    admin.delete_topics([topic for topic in admin.list_topics() if topic.startswith("run-")])
    admin.close()


def test_demo_ends_with_its_sources(here: Settings, clip: Path, model: Path) -> None:
    status, out, err = call(here, "demo", clip, "--model", model)
    assert status == 0, err
    lines = out.splitlines()
    assert "redis-cli" in out
    assert any(line.startswith("dashcam_720p: ") for line in lines)
    summary = next(line.split() for line in lines if line.startswith("dashcam_720p  "))
    assert int(summary[1]) == FRAMES
    assert "complete" in summary


def test_ctrl_c_ends_a_demo_that_would_go_on_for_ever(here: Settings, clip: Path, model: Path) -> None:
    process = start(here, "demo", clip, "--model", model, "--loop")
    assert process.stdout is not None
    wait_until(lambda: " running" in process.stdout.readline())  # type: ignore[union-attr]
    process.send_signal(signal.SIGINT)
    status, out, err = finish(process)
    assert (status, err) == (0, "")
    assert "not finished" in out or "complete" in out


def test_a_full_disk_is_one_line(here: Settings) -> None:
    status, out, err = call(here, "run", "synthetic:?frames=3&size=640x360", "--output", "/dev/full")
    assert (status, out, err) == (1, "", "streamer run: can't write /dev/full: No space left on device\n")


def test_without_a_model_the_shipped_one_is_used(here: Settings, tmp_path: Path) -> None:
    output = tmp_path / "results.jsonl"
    status, _, err = call(here, "run", "synthetic:?frames=12&size=640x360&seed=7", "--output", output)
    assert status == 0, err
    records = [parse_detection(line) for line in output.read_bytes().splitlines()]
    results = [record for record in records if isinstance(record, Result)]
    assert [result.engine["model"] for result in results] == ["street_wide.onnx"] * 12
    assert {one.type for result in results for one in result.objects} >= {"person", "car"}


NOWHERE = load(environ={}, overrides={"kafka": {"bootstrap_servers": "127.0.0.1:1", "connect_timeout_s": 1}})


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["run", "x.mp4"], 2, "x.mp4: no such file or folder"),
        (
            ["demo", "x.mp4", "--model", ""],
            2,
            "which detector? name its ONNX file: --model FILE (with make: MODEL=FILE)",
        ),
        (["run", "x.mp4", "--model", "y.onnx"], 2, "y.onnx: no such model file; shipped are: street, street-int8, "),
        (["run", "x.mp4", "--model", os.devnull], 2, "/dev/null: no such model file"),
        (["run", "x.mp4", "--model", __file__], 2, f"{__file__}: this is not an ONNX file"),
        (["demo", __file__, "--fps", "-1"], 2, "fps: Input should be greater than 0"),
        (["demo", __file__, "--transport", "big"], 2, "transport: 'big': use full, network or"),
        (["run", __file__, "--output", "/nowhere/x"], 2, "can't write /nowhere/x: No such file"),
    ],
)
def test_mistakes_are_one_line(words: list[str], status: int, message: str) -> None:
    found, out, err = call(NOWHERE, *words)
    assert (found, out) == (status, "")
    assert err.startswith(f"streamer {words[0]}: {message}")
    assert err.count("\n") == 1
