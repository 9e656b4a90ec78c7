"""CUDA kernels to machine code, by NVRTC: no nvcc, no CUDA headers, and no PTX that a driver may be too old for."""

from functools import cache
from importlib import resources
from typing import Any

from engines.tensorrt.errors import missing
from streamer.errors import StreamerError

UNITS = ("letterbox", "candidates", "nms")  # files of kernels/ that hold kernels
# Products are rounded before they are added, as a CPU does it, so that both give the same boxes.
_OPTIONS = ("--std=c++17", "--fmad=false", "--device-as-default-execution-space")


@cache
def cubin(unit: str, architecture: str) -> bytes:
    """The machine code of a file of kernels. A second at most; kept for the life of the process.

    architecture: as in "sm_90", of the GPU that it is for.

    Raises:
        UsageError: NVRTC is not installed.
        StreamerError: it can't make code for this GPU.
    """
    nvrtc = _nvrtc()
    names, texts = zip(*_headers(), strict=True)
    program = _checked(
        nvrtc,
        nvrtc.nvrtcCreateProgram(
            _source(f"{unit}.cu"), f"{unit}.cu".encode(), len(names), [*texts], [name.encode() for name in names]
        ),
    )
    try:
        options = [option.encode() for option in (*_OPTIONS, f"--gpu-architecture={architecture}")]
        [status] = nvrtc.nvrtcCompileProgram(program, len(options), options)
        if status != nvrtc.nvrtcResult.NVRTC_SUCCESS:
            raise StreamerError(f"NVRTC can't compile {unit}.cu for {architecture}: {_log(nvrtc, program)}")
        code = bytearray(_checked(nvrtc, nvrtc.nvrtcGetCUBINSize(program)))
        _checked(nvrtc, nvrtc.nvrtcGetCUBIN(program, code))
        return bytes(code)
    finally:
        nvrtc.nvrtcDestroyProgram(program)


def _nvrtc() -> Any:
    try:
        from cuda.bindings import nvrtc

        nvrtc.nvrtcVersion()  # the library itself is looked for with the first call
    except (ImportError, RuntimeError):
        raise missing("cuda-bindings with nvidia-cuda-nvrtc") from None
    return nvrtc


def _checked(nvrtc: Any, result: tuple[Any, ...]) -> Any:
    """The value behind a return code."""
    status, *values = result
    if status != nvrtc.nvrtcResult.NVRTC_SUCCESS:
        raise StreamerError(f"NVRTC failed: {status.name}")
    return values[0] if values else None


def _log(nvrtc: Any, program: Any) -> str:
    text = bytearray(_checked(nvrtc, nvrtc.nvrtcGetProgramLogSize(program)))
    _checked(nvrtc, nvrtc.nvrtcGetProgramLog(program, text))
    return " ".join(text.decode(errors="replace").strip("\0").split())[:500]


def _source(name: str) -> bytes:
    return resources.files("engines.tensorrt").joinpath("kernels", name).read_bytes()


def _headers() -> list[tuple[str, bytes]]:
    folder = resources.files("engines.tensorrt").joinpath("kernels")
    return [(file.name, file.read_bytes()) for file in folder.iterdir() if file.name.endswith(".h")]
