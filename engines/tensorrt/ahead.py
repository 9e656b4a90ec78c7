"""Engines built before a worker needs them, watched by a person."""

import sys
import time
from collections.abc import Callable
from typing import Any, TypeVar

from engines.model import input_spec
from engines.onnx_file import read_onnx
from engines.progress import Job, Progress
from engines.tensorrt.device import open_device
from engines.tensorrt.layers import Layer, read_layers
from engines.tensorrt.library import open_library
from engines.tensorrt.plans import Gpu, Wanted, decided, obtain_plan, open_plan_cache
from streamer.errors import UsageError
from streamer.models import model_path
from streamer.settings import Settings

_REDRAWN_S, _PRINTED_S = 0.2, 10.0
T = TypeVar("T")


def build_ahead(model: str, settings: Settings) -> str:
    """Builds a model's engine for this machine's GPU into the cache, drawing on stderr; what to say of it.

    Raises:
        UsageError: TensorRT or pycuda is not installed.
        ModelError: TensorRT can't take the model.
        DeviceError: there is no GPU, or it failed.
        KeyboardInterrupt: the user stopped it, and it has stopped.
    """
    wanted = _wanted(model, settings)
    cache = open_plan_cache(settings.tensorrt)
    known = cache.find(wanted.key, wanted.usable)
    plan = known or watched(lambda: obtain_plan(wanted))
    done = "is in the cache" if known else f"built in {plan.seconds:.0f} s"
    batches = ", ".join(map(str, wanted.key.batches))
    return (
        f"{wanted.file.path}: {done}, {len(plan.content) / 1e6:.1f} MB for {wanted.key.gpu}, "
        f"TensorRT {wanted.key.version}, batches of {batches}: {cache.folder.path / wanted.key.digest[:12]}..."
    )


def inspect_engine(model: str, settings: Settings) -> list[Layer]:
    """Layers of the engine that is in the cache.

    Raises:
        UsageError: it is not in the cache; TensorRT or pycuda is not installed.
        DeviceError: there is no GPU, or it failed.
    """
    wanted = _wanted(model, settings)
    plan = open_plan_cache(settings.tensorrt).find(wanted.key, wanted.usable)
    if plan is None:
        raise UsageError(f"{wanted.file.path}: it has no engine here yet; build it by `streamer engine build`")
    with open_device().use("loading the engine"):
        return read_layers(wanted.library, plan.content)


def watched(work: Callable[[], T], progress: Progress | None = None) -> T:
    """Does it in a thread, and draws meanwhile."""
    progress = progress or Progress()
    job = Job(work, progress, "build")
    try:
        _draw(job, progress)
    except KeyboardInterrupt:
        print("stopping after the step that is being done", file=sys.stderr)
        progress.stop()
        job.done()
        raise
    return job.answer()


def _draw(job: Job[T], progress: Progress, file: Any = None) -> None:
    """Until it is done: a line that is redrawn, or where that can't be, one now and then."""
    file = file or sys.stderr
    redraws, shown, width = file.isatty(), time.monotonic(), 0
    while not job.done(_REDRAWN_S):
        if redraws:
            line = f"building: {progress.state()}"[:100]
            print(f"\r{line:<{width}}", end="", file=file, flush=True)
            width = len(line)
        elif time.monotonic() - shown > _PRINTED_S:
            shown = time.monotonic()
            print(f"building: {progress.state()}", file=file, flush=True)
    if redraws:
        print(f"\r{'':<{width}}\r", end="", file=file, flush=True)


def _wanted(model: str, settings: Settings) -> Wanted:
    file = read_onnx(model_path(model))
    spec = decided(input_spec(file, settings.detect.batch), settings.tensorrt)
    library, device = open_library(), open_device()
    return Wanted(library, Gpu(device.name, device.architecture), file, spec, settings.tensorrt)
