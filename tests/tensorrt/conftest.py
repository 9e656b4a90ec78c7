"""A simulated GPU per test."""

import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from engines import engine as engines
from engines.tensorrt import engine, plans
from engines.tensorrt.builder import BuildOptions, Built
from engines.tensorrt.device import open_device
from engines.tensorrt.library import Library, open_library
from tests.conftest import need
from tests.fakes.nvimgcodec import nvimgcodec
from tests.fakes.tensorrt import plan_of
from tests.kernels.on_cpu import compile_kernels, compiler
from tests.tensorrt.rig import Rig, install


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The kernels as a library for this CPU."""
    need(compiler() is not None, "a C++ compiler (Debian: g++)")
    return compile_kernels(tmp_path_factory.mktemp("kernels") / "kernels.so", "-shared", "-fPIC")


def forget() -> None:
    """What a process keeps for its life."""
    open_device.cache_clear()
    open_library.cache_clear()
    engine._networks.clear()


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    """Without kernels: for arrays only."""
    forget()
    yield install(monkeypatch, None)
    forget()


@pytest.fixture
def rig_with_kernels(monkeypatch: pytest.MonkeyPatch, library: Path) -> Iterator[Rig]:
    """With the kernels."""
    forget()
    yield install(monkeypatch, library)
    forget()


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The engine `tensorrt` can be named in settings: installed, with a builder that is played and an empty cache."""

    def build(library: Library, model: bytes, spec: Any, options: BuildOptions, *_: Any) -> Built:
        return Built(plan_of(model, spec.batch), b"", 1.0)

    point = EntryPoint("tensorrt", "engines.tensorrt.engine:open_engine", engines.GROUP)
    monkeypatch.setattr(engines, "entry_points", lambda group: [*entry_points(group=group), point])
    monkeypatch.setattr(plans, "build", build)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STREAMER_TENSORRT__CACHE", str(tmp_path / "engines"))


@pytest.fixture(params=["nvimgcodec", "on the CPU"])
def decoders(request: pytest.FixtureRequest, rig_with_kernels: Rig, monkeypatch: pytest.MonkeyPatch) -> Rig:
    """A rig whose JPEGs are decoded either way."""
    package = ModuleType("nvidia")
    monkeypatch.setitem(sys.modules, "nvidia", package)
    monkeypatch.setitem(sys.modules, "nvidia.nvimgcodec", None)  # type: ignore[arg-type]
    if request.param == "nvimgcodec":
        module = nvimgcodec(rig_with_kernels.gpu)
        package.__dict__["nvimgcodec"] = module
        monkeypatch.setitem(sys.modules, "nvidia.nvimgcodec", module)
    return rig_with_kernels
