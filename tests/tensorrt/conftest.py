"""A simulated GPU per test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from engines.tensorrt.device import open_device
from engines.tensorrt.library import open_library
from tests.conftest import need
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
