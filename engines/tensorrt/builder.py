"""An ONNX model to a plan, as TensorRT calls a built engine.

Networks are strongly typed: number formats are those of the model, so that one way serves TensorRT 10 and 11 (which
has no flags for formats and no calibrators any more).
"""

import time
from dataclasses import dataclass, field
from typing import Any, Literal

from engines.engine import InputSpec
from engines.progress import BuildStopped, Progress
from engines.tensorrt.errors import DeviceError
from engines.tensorrt.library import Library
from engines.tensorrt.monitor import monitor
from streamer.errors import ModelError, StreamerError

Hardware = Literal["this", "same-capability", "ampere-plus"]
_LEVELS = {"same-capability": "SAME_COMPUTE_CAPABILITY", "ampere-plus": "AMPERE_PLUS"}


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """How an engine is built.

    best: the batch that it shall be fastest at, where the model leaves that open; it takes 1 to `most`.
    tf32: whether float32 may be computed with 10 bits of mantissa, on GPUs that can.
    version_compatible: whether later TensorRT of the same major version can load it (and it is larger and slower).
    hardware: GPUs that can load it: those like this one, all of its compute capability, all from Ampere on.
    effort: 0 to 5; how many ways are tried.
    workspace: bytes of GPU memory that a layer may use for itself; 0: all.
    targets: architectures, as in "sm_89"; only TensorRT-RTX builds for other GPUs than the one that it runs on.
    """

    best: int = 1
    most: int = 1
    tf32: bool = False
    version_compatible: bool = False
    hardware: Hardware = "this"
    effort: int = 3
    workspace: int = 0
    targets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Built:
    """plan: what can be loaded. timings: TensorRT's, to build the next one faster. seconds: it took."""

    plan: bytes = field(repr=False)
    timings: bytes = field(repr=False)
    seconds: float


def build(
    library: Library, model: bytes, spec: InputSpec, options: BuildOptions, progress: Progress, timings: bytes = b""
) -> Built:
    """Builds for the current GPU; minutes. Holds no lock of Python's, so other threads go on.

    model: the ONNX file, as engines.tensorrt.graph prepares it. timings: of a build before.

    Raises:
        ModelError: TensorRT can't take the model.
        DeviceError: the GPU failed, or there is none.
        BuildStopped: `progress` was told to stop.
    """
    start = time.monotonic()
    trt, log = library.trt, library.log
    log.errors.clear()
    builder = library.builder()
    network = builder.create_network(_typed(trt))
    _parse(trt, network, log, model)
    config = builder.create_builder_config()
    watcher = monitor(trt, progress)  # must live longer than the build
    config.progress_monitor = watcher
    _configure(trt, config, options)
    _add_profile(builder, network, config, spec, options)
    cache = _use_timings(trt, config, timings)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise _refusal(library, progress)
    return Built(bytes(plan), bytes(cache.serialize()) if cache else b"", time.monotonic() - start)


def _refusal(library: Library, progress: Progress) -> StreamerError:
    """Why there is no plan: what can't be said of the GPU lies in the model."""
    if progress.stopped:
        return BuildStopped()
    error = library.failure("building the engine")
    return error if type(error) is not DeviceError else ModelError(f"TensorRT can't build it: {error}")


def _typed(trt: Any) -> int:
    """The flags of a strongly typed network: where there is no such flag any more, there are no others."""
    flag = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    return 0 if flag is None else 1 << int(flag)


def _parse(trt: Any, network: Any, log: Any, model: bytes) -> None:
    parser = trt.OnnxParser(network, log)
    if parser.parse(model):
        return
    errors = [parser.get_error(index) for index in range(parser.num_errors)]
    raise ModelError(_words(errors[0]) if errors else f"TensorRT can't read the model: {log.last}")


def _words(error: Any) -> str:
    """One line of a parser's error."""
    what = " ".join(str(error.desc()).split())[:200]
    where = f"{error.node_operator()} node {error.node_name() or error.node()}"
    return f"TensorRT can't take its {where}: {what}; export the model without it"


def _configure(trt: Any, config: Any, options: BuildOptions) -> None:
    flags = trt.BuilderFlag
    set_or_clear = config.set_flag if options.tf32 else config.clear_flag
    set_or_clear(flags.TF32)
    if options.version_compatible:
        config.set_flag(flags.VERSION_COMPATIBLE)
    if options.hardware != "this":
        config.hardware_compatibility_level = getattr(trt.HardwareCompatibilityLevel, _LEVELS[options.hardware])
    if options.workspace:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace)
    config.builder_optimization_level = options.effort
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # for `streamer engine inspect`
    if options.targets:
        config.num_compute_capabilities = len(options.targets)
        for index, target in enumerate(options.targets):
            config.set_compute_capability(getattr(trt.ComputeCapability, target.replace("sm_", "SM")), index)


def _add_profile(builder: Any, network: Any, config: Any, spec: InputSpec, options: BuildOptions) -> None:
    """The batches that an input without a fixed one takes."""
    given = network.get_input(0)
    if min(given.shape) >= 0:
        return
    profile = builder.create_optimization_profile()
    batches = [spec.batch] * 3 if given.shape[0] >= 0 else (1, options.best, options.most)
    profile.set_shape(given.name, *(spec.shape(batch) for batch in batches))
    if config.add_optimization_profile(profile) < 0:
        raise ModelError(f"TensorRT can't take batches of 1, {options.best} and {options.most} pictures")


def _use_timings(trt: Any, config: Any, timings: bytes) -> Any:
    """The timing cache of a build; nothing where TensorRT has none. One of another version or GPU is not used."""
    if "rtx" in trt.__name__:
        return None
    cache = config.create_timing_cache(timings)
    if cache is None or not config.set_timing_cache(cache, False):
        cache = config.create_timing_cache(b"")
        config.set_timing_cache(cache, False)
    return cache
