"""`streamer run` and `streamer demo` refuse what no worker could run, or would never end, before anything starts."""

import sys
from pathlib import Path

import numpy as np
import pytest

from engines.tensorrt.library import open_library
from streamer.__main__ import main
from tests.unit.networks import constant_network

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def nothing_can_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever goes on to Kafka ends with status 3."""
    monkeypatch.setenv("STREAMER_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("STREAMER_KAFKA__CONNECT_TIMEOUT_S", "0.1")
    monkeypatch.setenv("STREAMER_REDIS__URL", "redis://127.0.0.1:1")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clip.mp4").touch()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    answer = np.zeros((1, 6, 84), np.float32)
    return constant_network(tmp_path / "m.onnx", {"output0": answer}, metadata={"names": "['cat', 'dog']"})


@pytest.mark.parametrize("command", ["run", "demo"])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--engine", "onnxrutime"], "no engine is called 'onnxrutime'; installed are: onnxruntime, openvino, tens"),
        (["--engine", "openvino"], "engine openvino is not installed: `pip install -e '.[openvino]'` in streamer's f"),
        (["--engine", "tensorrt"], "engine tensorrt needs the package tensorrt: `pip install -e '.[gpu]'` in stream"),
        (["--head", "rtdetr2"], "m.onnx: no head is called 'rtdetr2'; installed are: end2end, fastestdet, rtdetr"),
        (["--classes", "dog,cot"], "m.onnx has no class 'cot'; did you mean cat?"),
    ],
)
def test_a_wrong_option_of_the_model(
    command: str, options: list[str], message: str, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    open_library.cache_clear()
    for library in ("openvino", "tensorrt", "tensorrt_bindings"):
        monkeypatch.setitem(sys.modules, library, None)
    assert main([command, "clip.mp4", "--model", model.name, *options]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"streamer {command}: {message}")
    assert err.count("\n") == 1


@pytest.mark.parametrize("command", ["run", "demo"])
@pytest.mark.parametrize(("kept", "message"), [(0, "the file is empty"), (0.5, "the ONNX file is damaged")])
def test_a_damaged_model(command: str, kept: float, message: str, model: Path, capsys: Captured) -> None:
    content = model.read_bytes()
    model.write_bytes(content[: int(len(content) * kept)])
    assert main([command, "clip.mp4", "--model", model.name]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"streamer {command}: m.onnx: {message}")
    assert err.count("\n") == 1


def test_a_refused_model_leaves_the_last_results(model: Path, tmp_path: Path) -> None:
    (tmp_path / "results.jsonl").write_text("of the last run\n")
    assert main(["run", "clip.mp4", "--model", model.name, "--head", "no", "--output", "results.jsonl"]) == 2
    assert (tmp_path / "results.jsonl").read_text() == "of the last run\n"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("rtsp://u:hunter2@h/1", "rtsp://***@h/1 never ends: watch it with `streamer demo`"),
        ("RTSP://h/1", "RTSP://h/1 never ends: watch it with `streamer demo`"),
        ("rtmps://h/1", "rtmps://h/1 never ends"),
        ("tcp://h:1", "tcp://h:1 never ends"),
        ("/dev/null", "/dev/null never ends"),
        ("synthetic:", "synthetic: never ends: say how many pictures, synthetic:?frames=200, or watch it with `stre"),
        ("synthetic:?seed=1", "synthetic:?seed=1 never ends: say how many pictures, synthetic:?seed=1&frames=200, or"),
    ],
)
def test_run_takes_no_source_that_never_ends(source: str, message: str, model: Path, capsys: Captured) -> None:
    assert main(["run", "clip.mp4", source, "--model", model.name]) == 2
    assert capsys.readouterr().err.startswith(f"streamer run: {message}")


@pytest.mark.parametrize("source", ["synthetic:?seed=1&frames=20", "http://h/clip.mp4", "clip.mp4"])
def test_run_takes_what_may_end(source: str, model: Path, capsys: Captured) -> None:
    assert main(["run", source, "--model", model.name]) == 3
    assert "127.0.0.1:1" in capsys.readouterr().err


def test_what_a_worker_could_run_goes_on(model: Path, capsys: Captured) -> None:
    words = ["run", "clip.mp4", "--model", model.name, "--classes", "cat", "--head", "yolov8"]
    assert main([*words, "--output", "results.jsonl"]) == 3
    assert "127.0.0.1:1" in capsys.readouterr().err
