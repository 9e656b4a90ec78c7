"""A worker on a simulated GPU: `python -m tests.integration.simulated_gpu_worker KERNELS FAULT detect ...`.

KERNELS: the library that tests.kernels.on_cpu makes. FAULT: none; slow: its engine is built for ever; driver: too old;
memory: too little to open the model; lost: the GPU fails after a few batches. What is simulated is NVIDIA's packages
only: the kernels are ours, the network is computed by ONNX Runtime.
"""

import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from engines.progress import BuildStopped, Progress
from engines.tensorrt import plans
from engines.tensorrt.builder import Built
from streamer.__main__ import main
from tests.fakes import gpu as fake
from tests.fakes.nvimgcodec import nvimgcodec
from tests.fakes.tensorrt import plan_of
from tests.tensorrt.rig import install

BATCHES_BEFORE_LOSS = 8


def _build(library: Any, model: bytes, spec: Any, options: Any, progress: Progress, timings: bytes) -> Built:
    return Built(plan_of(model, options.most), b"", 0.0)


def _build_for_ever(library: Any, model: bytes, spec: Any, options: Any, progress: Progress, timings: bytes) -> Built:
    progress.phase_start("Timing tactics", None, 1000)
    while progress.step_complete("Timing tactics", 499):
        time.sleep(0.01)
    raise BuildStopped


class MortalGpu(fake.Gpu):
    """Fails for good after some batches."""

    def call(self, name: str, anywhere: bool = False) -> None:
        """See Gpu."""
        super().call(name, anywhere)
        if name == "synchronize" and self.calls[name] > BATCHES_BEFORE_LOSS:
            raise fake.LaunchError("cuEventSynchronize failed: an illegal memory access was encountered")


def install_gpu(patch: pytest.MonkeyPatch, kernels: Path, fault: str) -> None:
    """Into this process."""
    gpu = install(patch, kernels).gpu
    package = ModuleType("nvidia")
    package.__dict__["nvimgcodec"] = nvimgcodec(gpu)
    patch.setitem(sys.modules, "nvidia", package)
    patch.setitem(sys.modules, "nvidia.nvimgcodec", package.__dict__["nvimgcodec"])
    patch.setattr(plans, "build", _build_for_ever if fault == "slow" else _build)
    if fault == "driver":
        gpu.broken["init"] = fake.Error("cuInit failed: system driver mismatch")
    elif fault == "memory":
        gpu.broken["mem_alloc"] = fake.MemoryError("cuMemAlloc failed: out of memory")
    elif fault == "lost":
        gpu.__class__ = MortalGpu


if __name__ == "__main__":
    install_gpu(pytest.MonkeyPatch(), Path(sys.argv[1]), sys.argv[2])
    sys.exit(main(sys.argv[3:]))
