"""The plan for a model on a GPU: from a cache, or built now."""

import logging
import time
from dataclasses import asdict, dataclass, replace

from engines.engine import InputSpec
from engines.onnx_file import OnnxFile
from engines.progress import Progress, told
from engines.tensorrt.builder import BuildOptions, build
from engines.tensorrt.cache import PlanCache, open_cache
from engines.tensorrt.graph import VERSION, prepare
from engines.tensorrt.library import Library, is_newer
from engines.tensorrt.plan_file import Plan, PlanKey
from engines.tensorrt.shared import open_shared
from streamer.errors import UsageError
from streamer.settings import TensorRtSettings
from streamer.stack.home import cache_folder

_BATCH = 16  # where nobody says how many: with one picture at a time a GPU waits most of its time
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Gpu:
    """What a plan is built for. name: as in "NVIDIA L4". architecture: as in "sm_89"."""

    name: str
    architecture: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """A plan that is wanted: of a file, for a GPU, built by a library as the settings say.

    spec: what goes into the network; its `batch` is the largest one.
    """

    library: Library
    gpu: Gpu
    file: OnnxFile
    spec: InputSpec
    settings: TensorRtSettings

    @property
    def options(self) -> BuildOptions:
        """What the builder is told."""
        settings, most = self.settings, self.spec.batch
        return BuildOptions(
            best=most if self.spec.fixed_batch else settings.best_batch or most,
            most=most,
            tf32=settings.tf32,
            version_compatible=settings.version_compatible,
            hardware=settings.hardware,
            effort=settings.effort,
            workspace=settings.workspace_mb * 1024**2,
        )

    @property
    def key(self) -> PlanKey:
        """What the plan depends on."""
        library, gpu, options = self.library, self.gpu, self.options
        places = {"this": f"{gpu.name} {gpu.architecture}", "same-capability": gpu.architecture}
        return PlanKey(
            model=self.file.sha256,
            preparation=VERSION,
            library=library.name,
            version=library.major if options.version_compatible else library.version,
            gpu=places.get(options.hardware, options.hardware),
            precision=self.settings.precision,
            shape=self.spec.shape(1)[1:],
            batches=(options.most,) if self.spec.fixed_batch else (1, options.best, options.most),
            options={name: value for name, value in asdict(options).items() if name not in ("best", "most")},
        )

    def usable(self, plan: Plan) -> bool:
        """Whether the library loads it: a version-compatible one goes from older versions to newer ones only."""
        return not is_newer(plan.builder, self.library.version)


def decided(spec: InputSpec, settings: TensorRtSettings) -> InputSpec:
    """What goes into the network, with a largest batch that is worth a GPU where nobody has named one.

    Raises:
        UsageError: the batch to be fastest at is larger than the largest one.
    """
    if spec.undecided:
        return replace(spec, batch=max(_BATCH, settings.best_batch), undecided=False)
    if settings.best_batch > spec.batch and not spec.fixed_batch:
        raise UsageError(
            f"tensorrt.best_batch is {settings.best_batch}, and batches have {spec.batch} frames at most; "
            "make detect.batch as large, or best_batch smaller"
        )
    return spec


def obtain_plan(wanted: Wanted, refused: bytes = b"") -> Plan:
    """The plan: from the cache of this machine, else from the fleet's, else built, which takes minutes.

    refused: a plan from there that TensorRT doesn't load, so that another one takes its place.

    Raises:
        UsageError: onnx is not installed, or a cache can't be used.
        ModelError: TensorRT can't take the model.
        DeviceError: the GPU failed.
        BuildStopped: who is reported to has stopped it.
    """
    cache, progress = open_plan_cache(wanted.settings), told()

    def usable(plan: Plan) -> bool:
        return wanted.usable(plan) and plan.content != refused

    return cache.obtain(wanted.key, lambda: _built(wanted, cache, progress), lambda: progress.stopped, usable)


def open_plan_cache(settings: TensorRtSettings) -> PlanCache:
    """The cache that the settings name.

    Raises:
        UsageError: it can't be used.
    """
    folder = settings.cache or cache_folder() / "engines"
    shared = open_shared(settings.shared_cache, settings.shared_key.get_secret_value())
    return open_cache(folder.expanduser().absolute(), shared)


def _built(wanted: Wanted, cache: PlanCache, progress: Progress) -> Plan:
    file, library, key = wanted.file, wanted.library, wanted.key
    prepared = prepare(file, wanted.settings.precision)
    for change in prepared.changes:
        _log.info("%s: %s", file.path, change)
    _log.info("%s: TensorRT %s builds its engine for %s; minutes, once", file.path, library.version, key.gpu)
    found = build(library, prepared.model, wanted.spec, wanted.options, progress, cache.timings(key))
    cache.keep_timings(key, found.timings)
    _log.info("%s: built in %.0f s, %.1f MB", file.path, found.seconds, len(found.plan) / 1e6)
    made = prepared.head, prepared.changes, file.path.name, found.seconds, time.time(), library.version
    return Plan(found.plan, *made)
