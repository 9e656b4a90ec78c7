"""Kernels as machine code for every GPU that TensorRT runs on, made on a machine without one."""

import importlib.util
import subprocess
import sys

import pytest

from engines.tensorrt import compile as nvrtc
from streamer.errors import StreamerError
from tests.conftest import need

ARCHITECTURES = ["sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120"]
KERNELS = {
    "letterbox": ("letterbox_rgb", "letterbox_nv12"),
    "candidates": ("score_boxes", "choose_candidates"),
    "nms": ("suppress",),
}


@pytest.fixture(autouse=True)
def _library() -> None:
    need(importlib.util.find_spec("cuda") is not None, "cuda-bindings with nvidia-cuda-nvrtc")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("unit", nvrtc.UNITS)
def test_compiles_for(unit: str, architecture: str) -> None:
    code = nvrtc.cubin(unit, architecture)
    assert code.startswith(b"\x7fELF")
    for kernel in KERNELS[unit]:
        assert kernel.encode() in code


def test_a_gpu_that_nvrtc_does_not_know() -> None:
    with pytest.raises(StreamerError, match=r"can't compile nms\.cu for sm_12: .*invalid value"):
        nvrtc.cubin("nms", "sm_12")


def test_importing_it_needs_no_library() -> None:
    code = "import sys, engines.tensorrt.compile; assert 'cuda' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
