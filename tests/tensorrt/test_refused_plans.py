"""Plans that TensorRT doesn't load, from a cache: built again, once, and for everybody."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engines.model import input_spec
from engines.onnx_file import read_onnx
from engines.tensorrt import engine as engine_module
from engines.tensorrt import plans
from engines.tensorrt.builder import BuildOptions, Built
from engines.tensorrt.cache import PlanCache
from engines.tensorrt.catalogue import prune
from engines.tensorrt.engine import TensorRtEngine
from engines.tensorrt.errors import DeviceError, DriverTooOldError, PlanRefusedError
from engines.tensorrt.library import Library
from engines.tensorrt.plans import Gpu, Wanted, open_plan_cache
from streamer.settings import load
from tests.fakes import gpu as fake
from tests.fakes.tensorrt import plan_of
from tests.tensorrt.rig import Rig
from tests.unit.networks import constant_network
from tests.unit.test_shared_cache import SECRET


class Builds:
    """The builder. junk: how many of its next plans can't be loaded. count: what it has built."""

    def __init__(self) -> None:
        self.junk = self.count = 0

    def __call__(self, library: Library, model: bytes, spec: Any, options: BuildOptions, *_: Any) -> Built:
        self.count += 1
        junk, self.junk = self.junk > 0, max(self.junk - 1, 0)
        brings_code = options.version_compatible
        return Built(b"junk" if junk else plan_of(model, spec.batch, brings_code), b"", 1.0)


@pytest.fixture
def builds(rig: Rig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Builds:
    made = Builds()
    monkeypatch.setattr(plans, "build", made)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STREAMER_TENSORRT__CACHE", str(tmp_path / "engines"))
    return made


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return constant_network(tmp_path / "m.onnx", {"output0": np.ones((1, 7, 84), np.float32)}, ("n", 3, 64, 64))


def opened(model: Path) -> TensorRtEngine:
    """In a process that has nothing loaded yet."""
    file = read_onnx(model)
    engine_module._networks.clear()
    engine = engine_module.open_engine(file, input_spec(file, 4), threads=1)
    assert isinstance(engine, TensorRtEngine)
    return engine


def cache_of_an_earlier_start(model: Path, builds: Builds) -> PlanCache:
    """With the plan that was built then, which can't be loaded now."""
    builds.junk = 1
    file, device = read_onnx(model), engine_module.open_device()
    gpu = Gpu(device.name, device.architecture)
    plans.obtain_plan(Wanted(engine_module.open_library(), gpu, file, input_spec(file, 4), load().tensorrt))
    return open_plan_cache(load().tensorrt)


def test_one_that_is_refused_is_built_again_once(builds: Builds, model: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache_of_an_earlier_start(model, builds)
    assert opened(model).infer(np.zeros((2, 3, 64, 64), np.float32))[0].shape == (2, 7, 84)
    assert "so it is built again" in caplog.text
    opened(model)
    assert builds.count == 2


def test_one_that_is_refused_is_replaced_for_the_fleet_too(
    builds: Builds, model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("STREAMER_TENSORRT__SHARED_CACHE", f"file://{tmp_path}/fleet")
    monkeypatch.setenv("STREAMER_TENSORRT__SHARED_KEY", SECRET)
    cache_of_an_earlier_start(model, builds)
    opened(model)
    monkeypatch.setenv("STREAMER_TENSORRT__CACHE", str(tmp_path / "another machine's"))
    opened(model)
    assert builds.count == 2


def test_one_that_was_built_just_now_and_is_refused_is_not_tried_again(builds: Builds, model: Path) -> None:
    builds.junk = 9
    with pytest.raises(PlanRefusedError, match=r"m\.onnx: loading the engine: .*magicTagRead"):
        opened(model)
    assert builds.count == 1


def test_a_gpu_that_fails_is_no_reason_to_build(rig: Rig, builds: Builds, model: Path) -> None:
    opened(model)
    rig.gpu.broken["Runtime"] = fake.Error("CUDA initialization failure with error: 35")
    with pytest.raises(DriverTooOldError):
        opened(model)
    rig.gpu.broken["Runtime"] = fake.Error("CUDA initialization failure with error: 999")
    with pytest.raises(DeviceError):
        opened(model)
    assert builds.count == 1


@pytest.mark.parametrize("pruned", [False, True])
@pytest.mark.parametrize(("builder", "built"), [("9.99.1", 1), ("10.0.0", 1), ("10.0.1", 2), ("10.15.1", 2)])
def test_version_compatible_plans_go_from_older_to_newer_only(
    builds: Builds, model: Path, monkeypatch: pytest.MonkeyPatch, builder: str, built: int, pruned: bool
) -> None:
    """The simulated TensorRT is 10.0.0."""
    monkeypatch.setenv("STREAMER_TENSORRT__VERSION_COMPATIBLE", "true")
    opened(model)
    cache = open_plan_cache(load().tensorrt)
    [entry] = cache.entries()
    name = f"{entry.digest}.engine"
    content = cache.folder.read(name) or b""
    assert b'"builder":"10.0.0"' in content
    cache.folder.write(name, content.replace(b'"builder":"10.0.0"', f'"builder":"{builder}"'.encode()))
    if pruned:
        said = list(prune(cache, None, everything=False))[:-1]
        assert [f"built by TensorRT {builder}, here is 10.0.0" in each for each in said] == [True] * (built - 1)
    opened(model)
    assert builds.count == built
