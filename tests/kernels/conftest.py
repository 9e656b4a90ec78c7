"""The kernels, compiled once per session."""

import ctypes
from pathlib import Path

import pytest

from tests.conftest import need
from tests.kernels.on_cpu import Kernels, compile_kernels, compiler


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The kernels as a library for this CPU."""
    need(compiler() is not None, "a C++ compiler (Debian: g++)")
    return compile_kernels(tmp_path_factory.mktemp("kernels") / "kernels.so", "-shared", "-fPIC")


@pytest.fixture(params=[1, 3], ids=["one thread", "three threads"])
def kernels(library: Path, request: pytest.FixtureRequest) -> Kernels:
    """Run by one thread per block, and by several."""
    return Kernels(ctypes.CDLL(str(library)), request.param)


@pytest.fixture
def kernels_once(library: Path) -> Kernels:
    """Run by one thread per block, for large inputs."""
    return Kernels(ctypes.CDLL(str(library)))
