"""A simulated machine with a GPU, and detectors opened on it."""

import ctypes
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from engines.detector import Detector, open_detector
from engines.engine import InputSpec
from engines.onnx_file import read_onnx
from engines.tensorrt import device as device_module
from engines.tensorrt.engine import TensorRtEngine
from engines.tensorrt.library import open_library
from engines.tensorrt.network import load_network
from streamer.settings import DetectSettings
from tests.fakes import gpu as fake_gpu
from tests.fakes.tensorrt import plan_of, tensorrt


@dataclass
class Rig:
    """gpu: the simulated one."""

    gpu: fake_gpu.Gpu

    def engine(self, path: Path, batch: int = 4, fixed: bool = False, graphs: bool = True) -> TensorRtEngine:
        """A model on the GPU."""
        return self.engine_of(plan_of(path.read_bytes(), batch), path, batch, fixed, graphs)

    def engine_of(
        self, plan: bytes, path: Path, batch: int = 4, fixed: bool = False, graphs: bool = True
    ) -> TensorRtEngine:
        """A plan on the GPU."""
        device = device_module.open_device()
        with device.use("opening"):
            network = load_network(open_library(), plan, path)
        [given] = read_onnx(path).inputs
        height, width = given.shape[2:]
        spec = InputSpec(int(width), int(height), batch, fixed, np.dtype(given.dtype))
        return TensorRtEngine(spec, device, network, graphs)

    def detectors(self, path: Path, batch: int = 4, fixed: bool = False, **settings: Any) -> tuple[Detector, Detector]:
        """The same model and settings on the CPU, and by TensorRT for arrays."""
        on_cpu = open_detector(DetectSettings(model=str(path), batch=batch, **settings), threads=1)
        on_gpu = Detector(on_cpu.model, self.engine(path, batch, fixed), on_cpu.head, on_cpu.selection)
        return on_cpu, on_gpu


def install(patch: pytest.MonkeyPatch, library: Path | None, count: int = 1) -> Rig:
    """Makes pycuda and cuda-bindings simulated ones. library: the kernels, compiled for the CPU."""
    gpu = fake_gpu.Gpu(ctypes.CDLL(str(library)) if library else None, count)
    modules: dict[str, ModuleType] = {"pycuda.driver": fake_gpu.pycuda_driver(gpu)}
    modules["tensorrt"] = tensorrt(gpu)
    modules["cuda.bindings.driver"] = fake_gpu.cuda_bindings_driver(gpu)
    for name in ("pycuda", "cuda", "cuda.bindings"):
        modules[name] = ModuleType(name)
    modules["pycuda"].__dict__["driver"] = modules["pycuda.driver"]
    modules["cuda.bindings"].__dict__["driver"] = modules["cuda.bindings.driver"]
    for name, module in modules.items():
        patch.setitem(sys.modules, name, module)
    # Machine code is of no use to the simulated one.
    patch.setattr(device_module, "cubin", lambda unit, architecture: unit.encode())
    return Rig(gpu)
