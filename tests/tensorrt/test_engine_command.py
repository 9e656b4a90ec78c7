"""`streamer engine` with a GPU, on the simulated one: built once, loaded, measured beside the bare loop."""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engines.engine import InputSpec
from engines.tensorrt import command, plans
from engines.tensorrt.bench import BareLoop
from engines.tensorrt.builder import BuildOptions, Built
from engines.tensorrt.errors import DeviceError
from engines.tensorrt.library import Library
from streamer.errors import UsageError
from tests.fakes import gpu as fake
from tests.fakes.tensorrt import plan_of
from tests.tensorrt.rig import Rig
from tests.unit.networks import constant_network


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[BuildOptions]:
    """What the builder was told; a plan of the fake's comes out of it."""
    told: list[BuildOptions] = []

    def build(library: Library, model: bytes, spec: InputSpec, options: BuildOptions, *_: Any) -> Built:
        told.append(options)
        return Built(plan_of(model, spec.batch), b"timed", 2.0)

    monkeypatch.setattr(plans, "build", build)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STREAMER_TENSORRT__CACHE", str(tmp_path / "engines"))
    return told


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return constant_network(tmp_path / "m.onnx", {"output0": np.ones((1, 7, 84), np.float32)}, ("n", 3, 64, 64))


def call(*words: object) -> int:
    parser = argparse.ArgumentParser()
    command.configure(parser)
    return command.run(parser.parse_args([str(word) for word in words]))


def test_an_engine_is_built_once(
    rig: Rig, builds: list[BuildOptions], model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("build", model, "--batch", 4) == 0
    assert "m.onnx: built in 2 s" in capsys.readouterr().out
    assert call("build", model, "--batch", 4) == 0
    assert "m.onnx: is in the cache" in capsys.readouterr().out
    assert call("build", model, "--batch", 4, "--precision", "fp16") == 0
    assert [each.most for each in builds] == [4, 4]
    assert call("list") == 0
    assert "2 engines" in capsys.readouterr().out


def test_to_inspect_it_must_have_been_built(rig: Rig, builds: list[BuildOptions], model: Path) -> None:
    with pytest.raises(UsageError, match="no engine here yet; build it by `streamer engine build`"):
        call("inspect", model)


def test_layers_of_a_built_engine_are_told(
    rig: Rig, builds: list[BuildOptions], model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call("build", model)
    capsys.readouterr()
    assert call("inspect", model, "--json") == 0
    assert [each["name"] for each in json.loads(capsys.readouterr().out)["layers"]] == ["output0"]


def test_the_benchmark_measures_all_ways_and_lets_go_of_everything(
    rig: Rig, builds: list[BuildOptions], model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("bench", model, "--batch", 4, "--seconds", 0.06, "--json") == 0
    rates = json.loads(capsys.readouterr().out)["rates"]
    ways = {(each["way"], each["batch"], each["lanes"]) for each in rates}
    assert ways == {
        (way, batch, lanes) for way in ("bare", "slots", "slots, graphs") for batch in (1, 4) for lanes in (1, 2)
    }
    assert all(each["frames_per_s"] > 0 for each in rates)
    assert rig.gpu.stack == []
    assert rig.gpu.taken == {}
    assert (+rig.gpu.alive, rig.gpu.lost) == ({}, [])


def test_the_benchmark_does_not_call_graphs_what_was_not_recorded(
    rig: Rig, builds: list[BuildOptions], model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rig.gpu.broken["cuStreamEndCapture"] = fake.CUresult.CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED  # type: ignore[assignment]
    assert call("bench", model, "--batch", 4, "--seconds", 0.03) == 0
    said = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in said[2:-1]} == {"bare", "slots"}
    assert said[-1] == "slots, graphs: not measured, as the work could not be recorded; see the log"


@pytest.mark.parametrize("fails", ["execute_async_v3", "set_tensor_address", "set_input_shape"])
def test_the_bare_loop_says_what_fails(rig: Rig, model: Path, fails: str) -> None:
    engine = rig.engine(model)
    with engine.device.use("a test"):
        rig.gpu.broken[fails] = fake.Error("it does not work")
        with pytest.raises(DeviceError, match=r"m\.onnx: .*it does not work"):
            BareLoop(engine.device, engine.network).submit(2)
