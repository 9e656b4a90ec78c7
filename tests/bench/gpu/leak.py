"""Memory over many frames: on the GPU and of the process."""

import itertools
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.bench.gpu.material import BY_GPU, Material
from tests.on_gpu import Decoded, detect_jpegs, free_memory

ALLOWED_MB = 16.0


def resident_mb() -> float:
    """Of this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def leak(material: Material, frames: int = 100_000, warm: int = 10_000) -> dict[str, Any]:
    """What is taken between frame number `warm` and the last one."""
    detector = material.gpu_detector()
    device, forever = detector.engine.device, itertools.cycle(material.frames)
    decoded = Decoded()

    def measured() -> tuple[float, float]:
        return free_memory(device) / 1e6, resident_mb()

    detect_jpegs(detector, list(itertools.islice(forever, warm)))
    free_before, resident_before = measured()
    # In pieces, as what is found in all of them is some memory too.
    for _ in range(max(1, (frames - warm) // 1000)):
        detect_jpegs(detector, list(itertools.islice(forever, 1000)), decoded)
    free_after, resident_after = measured()
    detector.close()
    figures = {
        "frames": frames,
        "gpu_taken_mb": round(free_before - free_after, 1),
        "process_taken_mb": round(resident_after - resident_before, 1),
        "decoded": asdict(decoded),
    }
    taken = max(free_before - free_after, resident_after - resident_before)
    holds = {f"no more than {ALLOWED_MB:.0f} MB taken": taken <= ALLOWED_MB, BY_GPU: decoded.by_gpu}
    return {"figures": figures, "holds": holds}
