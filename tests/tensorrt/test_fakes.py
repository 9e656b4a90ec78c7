"""What is simulated is like the real thing: the same names, the same arguments."""

import importlib.util
import inspect
import json
import re
from types import ModuleType
from typing import Any

import pytest

from engines.tensorrt.library import MODULES
from tests.conftest import need
from tests.fakes import gpu as fake
from tests.fakes.nvimgcodec import nvimgcodec
from tests.fakes.nvml import Nvml, pynvml
from tests.fakes.pycuda_signatures import RECORD, documented
from tests.fakes.tensorrt import tensorrt

PYCUDA = json.loads(RECORD.read_text(encoding="utf-8"))
GPU = fake.Gpu()
DRIVER, BINDINGS, TENSORRT = fake.pycuda_driver(GPU), fake.cuda_bindings_driver(GPU), tensorrt(GPU)
# Of the simulated classes, what only the simulation needs.
INNER = {"put", "drain", "queue", "recording", "recorder", "flags", "most", "session"}
CLASSES = {"Stream": fake.Stream, "Event": fake.Event, "DeviceAllocation": fake.DeviceAllocation}


def public(kind: type) -> dict[str, Any]:
    return {name: value for name, value in vars(kind).items() if not name.startswith("_") and name not in INNER}


def simulated(name: str) -> set[str]:
    """What the simulated class of pycuda offers."""
    if name == "Context":
        return {"pop", *public(fake.Context)}
    return set(public(CLASSES.get(name) or getattr(DRIVER, name)))


def arguments(function: Any) -> list[str]:
    return [name for name in inspect.signature(function).parameters if name != "self"]


@pytest.mark.parametrize("name", PYCUDA["functions"])
def test_functions_of_pycuda(name: str) -> None:
    expected = PYCUDA["functions"][name]
    assert arguments(getattr(DRIVER, name))[: len(expected)] == expected or not expected


@pytest.mark.parametrize("name", PYCUDA["classes"])
def test_classes_of_pycuda(name: str) -> None:
    assert simulated(name) <= set(PYCUDA["classes"][name])


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            "\nmemset_d8_async( (object)dest, (int)data, (int)size [, (object)stream=None]) -> None :\n\n    C++ ...",
            ["dest", "data", "size", "stream"],
        ),
        ("\nmem_alloc( (int)arg1) -> DeviceAllocation :\n\n    C++ signature :\n        (unsigned long)size", []),
        ("\nmem_get_info() -> tuple :\n", []),
        (None, []),
    ],
)
def test_a_built_pycuda_names_its_arguments(words: str | None, expected: list[str]) -> None:
    assert documented(words) == expected


def test_everything_of_pycuda_that_is_simulated_is_recorded() -> None:
    names = {name for name in vars(DRIVER) if not name.startswith("__")}
    recorded = {*PYCUDA["functions"], *PYCUDA["classes"], *PYCUDA["errors"], "event_flags"}
    assert names <= recorded
    assert set(vars(DRIVER.event_flags)) <= set(PYCUDA["event_flags"])


@pytest.fixture(scope="module")
def real_bindings() -> ModuleType:
    """cuda-bindings itself; it needs no GPU until it is called."""
    need(importlib.util.find_spec("cuda") is not None, "cuda-bindings")
    from cuda.bindings import driver

    module: ModuleType = driver
    return module


def test_cuda_bindings(real_bindings: ModuleType) -> None:
    for name, simulated in vars(BINDINGS).items():
        if name.startswith("cu"):
            line = (getattr(real_bindings, name).__doc__ or "").splitlines()[0]
            given = [part.split(":")[0].split()[-1] for part in line[line.index("(") + 1 : line.rindex(")")].split(",")]
            assert arguments(simulated) == given, name
    for enum in ("CUresult", "CUstreamCaptureMode"):
        for member in getattr(BINDINGS, enum):
            assert int(getattr(getattr(real_bindings, enum), member.name)) == member
    assert callable(real_bindings.CUstream)


# TensorRT-RTX has the same calls as TensorRT, and can be installed on a machine without a GPU.
RTX = "tensorrt_rtx_bindings"
# All that are there, so that on a machine with TensorRT itself the simulated one is held to that.
TENSORRTS = [name for name in MODULES if importlib.util.find_spec(name)]
if importlib.util.find_spec(RTX) or not TENSORRTS:
    TENSORRTS.append(RTX)


@pytest.fixture(scope="module", params=TENSORRTS)
def real_tensorrt(request: pytest.FixtureRequest) -> ModuleType:
    """Each of them."""
    need(importlib.util.find_spec(request.param) is not None, request.param)
    return importlib.import_module(request.param)


@pytest.mark.parametrize(
    "name",
    [
        "Runtime", "ICudaEngine", "IExecutionContext", "ILogger", "TensorIOMode", "EngineInspector",
        "LayerInformationFormat",
    ],
)  # fmt: skip
def test_tensorrt(real_tensorrt: ModuleType, name: str) -> None:
    real, simulated = getattr(real_tensorrt, name), getattr(TENSORRT, name)
    for member, value in public(simulated).items():
        assert hasattr(real, member), member
        if inspect.isfunction(value):
            words = getattr(real, member).__doc__ or ""
            # pybind11 writes the signature first, of overloads each.
            given = [re.findall(r"(\w+): ", line) for line in re.findall(rf"{member}\(self: [^)]*\)", words)]
            wanted = ["self", *arguments(value)]
            assert any(names[: len(wanted)] == wanted for names in given), (member, given)


@pytest.fixture(scope="module")
def real_codec() -> ModuleType:
    """nvImageCodec; it reads headers without a GPU."""
    there = importlib.util.find_spec("nvidia") and importlib.util.find_spec("nvidia.nvimgcodec")
    need(there is not None, "nvidia-nvimgcodec-cu13")
    return importlib.import_module("nvidia.nvimgcodec")


def test_nvimgcodec(real_codec: ModuleType) -> None:
    simulated = nvimgcodec(GPU)
    for name, member in (("Decoder", "__init__"), ("Decoder", "decode"), ("DecodeParams", "__init__")):
        words = getattr(getattr(real_codec, name), member).__doc__ or ""
        wanted = arguments(getattr(getattr(simulated, name), member))
        lines = [re.findall(r"(\w+): ", line) for line in re.findall(rf"{member}\(self: .*\) -> ", words)]
        assert any(set(wanted) <= set(given) for given in lines), (name, member, lines)
    assert hasattr(real_codec.Image, "__cuda_array_interface__")
    assert hasattr(real_codec.SampleFormat, "I_RGB")


@pytest.mark.parametrize("jpeg", [b"", b"nothing", b"\xff\xd8" + bytes(99)])
def test_nvimgcodec_reads_headers_when_it_is_asked(real_codec: ModuleType, jpeg: bytes) -> None:
    for codec in (real_codec, nvimgcodec(GPU)):
        stream = codec.CodeStream(jpeg)
        with pytest.raises(RuntimeError, match="Failed to get image info"):
            _ = stream.width


def test_nvml() -> None:
    need(importlib.util.find_spec("pynvml") is not None, "nvidia-ml-py")
    real = importlib.import_module("pynvml")
    simulated = pynvml(Nvml())
    for name in (name for name in vars(simulated) if name.startswith("nvml")):
        wanted = arguments(getattr(simulated, name))
        assert arguments(getattr(real, name))[: len(wanted)] == wanted, name
    assert issubclass(real.NVMLError, Exception)


def test_data_types_of_tensorrt(real_tensorrt: ModuleType) -> None:
    assert real_tensorrt.nptype(real_tensorrt.DataType.HALF).__name__ == "float16"
    assert set(TENSORRT.ILogger.Severity.__members__) <= set(dir(real_tensorrt.ILogger.Severity))
