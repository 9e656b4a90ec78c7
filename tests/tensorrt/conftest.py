"""A simulated GPU per test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from engines.tensorrt.device import open_device
from tests.conftest import need
from tests.kernels.on_cpu import compile_kernels, compiler
from tests.tensorrt.rig import Rig, install


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The kernels as a library for this CPU."""
    need(compiler() is not None, "a C++ compiler (Debian: g++)")
    return compile_kernels(tmp_path_factory.mktemp("kernels") / "kernels.so", "-shared", "-fPIC")


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    """Without kernels: for arrays only."""
    open_device.cache_clear()
    yield install(monkeypatch, None)
    open_device.cache_clear()


@pytest.fixture
def rig_with_kernels(monkeypatch: pytest.MonkeyPatch, library: Path) -> Iterator[Rig]:
    """With the kernels."""
    open_device.cache_clear()
    yield install(monkeypatch, library)
    open_device.cache_clear()
