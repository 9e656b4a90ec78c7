"""What an engine depends on, what the builder is told, and which TensorRT is taken."""

import logging
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from engines.engine import InputSpec
from engines.onnx_file import OnnxFile
from engines.progress import BuildStopped, Job, Progress
from engines.tensorrt import plans
from engines.tensorrt.builder import BuildOptions, Built
from engines.tensorrt.errors import DeviceError, DriverTooOldError
from engines.tensorrt.graph import Prepared
from engines.tensorrt.library import Library, open_library
from engines.tensorrt.plans import Gpu, Wanted, decided, obtain_plan
from streamer.errors import UsageError
from streamer.settings import TensorRtSettings

FILE = OnnxFile(Path("street.onnx"), 9, "ab" * 32, "", {}, {}, (), (), {}, frozenset(), {"float32": 9})


def library(version: str = "10.15.1.29", name: str = "tensorrt") -> Library:
    module: Any = ModuleType(name)
    module.__version__ = version
    return Library(module, SimpleNamespace(last="", errors=[]))


def spec(batch: int = 8, fixed: bool = False, width: int = 64) -> InputSpec:
    return InputSpec(width, 64, batch, fixed, np.dtype(np.float32))


WANTED = Wanted(library(), Gpu("NVIDIA L4", "sm_89"), FILE, spec(), TensorRtSettings())
OTHERS: dict[str, dict[str, Any]] = {
    "model": {"file": replace(FILE, sha256="cd" * 32)},
    "TensorRT": {"library": library("10.15.2.1")},
    "TensorRT-RTX": {"library": library(name="tensorrt_rtx_bindings")},
    "GPU": {"gpu": Gpu("NVIDIA L40S", "sm_89")},
    "architecture": {"gpu": Gpu("NVIDIA L4", "sm_90")},
    "size": {"spec": spec(width=96)},
    "batch": {"spec": spec(batch=16)},
    "fixed batch": {"spec": spec(fixed=True)},
    "best batch": {"settings": TensorRtSettings(best_batch=4)},
    "precision": {"settings": TensorRtSettings(precision="fp16")},
    "tf32": {"settings": TensorRtSettings(tf32=True)},
    "effort": {"settings": TensorRtSettings(effort=5)},
    "workspace": {"settings": TensorRtSettings(workspace_mb=64)},
    "hardware": {"settings": TensorRtSettings(hardware="same-capability")},
    "version": {"settings": TensorRtSettings(version_compatible=True)},
}


def test_each_thing_that_an_engine_depends_on_makes_another_key() -> None:
    keys = [WANTED.key, *(replace(WANTED, **other).key for other in OTHERS.values())]
    assert len({key.digest for key in keys}) == len(keys)
    assert WANTED.key == replace(WANTED).key


@pytest.mark.parametrize(
    "other",
    [
        {"file": replace(FILE, path=Path("/elsewhere/other.onnx"), size=10)},
        {"settings": TensorRtSettings(cache=Path("/elsewhere"))},
        {"settings": TensorRtSettings(best_batch=8)},  # as many as there can be
        {"settings": TensorRtSettings(shared_cache="s3://bucket", shared_key="x" * 32)},
    ],
)
def test_what_does_not_matter_makes_none(other: dict[str, Any]) -> None:
    assert replace(WANTED, **other).key == WANTED.key


@pytest.mark.parametrize(
    ("hardware", "gpu", "alike"),
    [
        ("this", Gpu("NVIDIA L40S", "sm_89"), False),
        ("same-capability", Gpu("NVIDIA L40S", "sm_89"), True),
        ("same-capability", Gpu("NVIDIA H200", "sm_90"), False),
        ("ampere-plus", Gpu("NVIDIA H200", "sm_90"), True),
    ],
)
def test_compatible_engines_serve_other_gpus(hardware: Any, gpu: Gpu, alike: bool) -> None:
    wanted = replace(WANTED, settings=TensorRtSettings(hardware=hardware))
    assert (replace(wanted, gpu=gpu).key == wanted.key) is alike


def test_compatible_engines_serve_later_versions() -> None:
    wanted = replace(WANTED, settings=TensorRtSettings(version_compatible=True))
    assert replace(wanted, library=library("10.16.0.1")).key == wanted.key
    assert replace(wanted, library=library("11.0.0.1")).key != wanted.key


@pytest.mark.parametrize(("given", "best", "batches"), [(0, 8, (1, 8, 8)), (3, 3, (1, 3, 8))])
def test_the_best_batch_is_the_largest_unless_another_is_named(given: int, best: int, batches: Any) -> None:
    wanted = replace(WANTED, settings=TensorRtSettings(best_batch=given, workspace_mb=3))
    assert wanted.options == BuildOptions(best=best, most=8, workspace=3 * 1024**2)
    assert wanted.key.batches == batches
    assert replace(wanted, spec=spec(fixed=True)).key.batches == (8,)


@pytest.mark.parametrize(
    ("best", "batches"), [(0, (1, 16, 16)), (4, (1, 4, 16)), (32, (1, 32, 32))], ids=["none", "small", "large"]
)
def test_where_nobody_says_how_many_batches_are_worth_a_gpu(best: int, batches: Any) -> None:
    settings, undecided = TensorRtSettings(best_batch=best), replace(spec(batch=1), undecided=True)
    wanted = replace(WANTED, spec=decided(undecided, settings), settings=settings)
    assert wanted.key.batches == batches


def test_a_best_batch_that_is_larger_than_the_largest_is_refused() -> None:
    large = TensorRtSettings(best_batch=32)
    with pytest.raises(UsageError, match=r"tensorrt\.best_batch is 32, and batches have 8 frames at most; make detect"):
        decided(spec(batch=8), large)
    # Where the model fixes it, nobody can choose.
    assert decided(spec(batch=8, fixed=True), large).batch == 8
    assert replace(WANTED, spec=spec(batch=8, fixed=True), settings=large).options.best == 8


def test_a_plan_is_built_with_the_timings_of_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[Any, ...]] = []

    def build(*arguments: Any) -> Built:
        told.append(arguments)
        return Built(b"plan", b"timed", 3.0)

    monkeypatch.setattr(plans, "build", build)
    monkeypatch.setattr(plans, "prepare", lambda file, precision: Prepared(precision.encode(), "yolov8", ("changed",)))
    wanted = replace(WANTED, settings=TensorRtSettings(cache=tmp_path / "engines"))
    plan = obtain_plan(wanted)
    assert (plan.content, plan.head, plan.changes, plan.model_name) == (b"plan", "yolov8", ("changed",), "street.onnx")
    assert obtain_plan(wanted) == plan
    obtain_plan(replace(wanted, settings=TensorRtSettings(cache=tmp_path / "engines", precision="fp16")))
    assert [(each[1], each[3].most, each[5]) for each in told] == [(b"model", 8, b""), (b"fp16", 8, b"timed")]


def test_who_is_reported_to_sees_the_build_and_can_stop_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def build(
        library: Library, model: bytes, spec: InputSpec, options: BuildOptions, progress: Progress, _: Any
    ) -> Any:
        progress.phase_start("Building", None, 2)
        if progress.step_complete("Building", 0):
            raise AssertionError("not stopped")
        raise BuildStopped

    monkeypatch.setattr(plans, "build", build)
    monkeypatch.setattr(plans, "prepare", lambda file, precision: Prepared(b"", None, ()))
    progress = Progress()
    progress.stop()
    wanted = replace(WANTED, settings=TensorRtSettings(cache=tmp_path / "engines"))
    job = Job(lambda: obtain_plan(wanted), progress, "build")
    assert job.done(10)
    with pytest.raises(BuildStopped, match="was stopped"):
        job.answer()
    assert progress.state().share == 0.5


class Severity:
    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)


class ILogger:
    Severity = Severity


def module(name: str, builder: Any = None) -> ModuleType:
    made: Any = ModuleType(name)
    made.__version__, made.ILogger, made.Builder = "10.15.1.29", ILogger, builder
    return made


@pytest.fixture
def fresh() -> Any:
    open_library.cache_clear()
    yield
    open_library.cache_clear()


@pytest.mark.parametrize(("first", "taken"), [(True, "tensorrt"), (False, "tensorrt_bindings")])
def test_the_first_tensorrt_is_taken(fresh: None, monkeypatch: pytest.MonkeyPatch, first: bool, taken: str) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", module("tensorrt") if first else None)
    monkeypatch.setitem(sys.modules, "tensorrt_bindings", module("tensorrt_bindings"))
    found = open_library()
    assert (found.trt.__name__, found.name, found.version, found.major) == (taken, "tensorrt", "10.15.1.29", "10")
    assert open_library() is found


def test_without_one_it_says_what_to_install(fresh: None) -> None:
    with pytest.raises(UsageError, match=r"needs the package tensorrt: `pip install -e '\.\[gpu\]'` in"):
        open_library(("no_such_tensorrt", "nor_this"))


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("CUDA initialization failure with error: 35. Please check your CUDA installation", DriverTooOldError),
        ("", DeviceError),
    ],
)
def test_a_builder_that_will_not_start_is_one_line(
    fresh: None, monkeypatch: pytest.MonkeyPatch, said: str, kind: type[Exception]
) -> None:
    def builder(log: Any) -> None:
        if said:
            log.log(Severity.ERROR, said)
        raise TypeError("pybind11::init(): factory function returned nullptr")

    monkeypatch.setitem(sys.modules, "tensorrt", module("tensorrt", builder))
    with pytest.raises(kind, match="starting TensorRT") as caught:
        open_library().builder()
    assert "pybind11" not in str(caught.value)


def test_its_words_go_into_our_log(
    fresh: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", module("tensorrt"))
    log = open_library().log
    with caplog.at_level(logging.DEBUG):
        for severity in range(5):
            log.log(severity, f"words {severity}")
    levels = {record.getMessage(): record.levelname for record in caplog.records}
    assert levels == {
        "TensorRT: words 0": "INFO",
        "TensorRT: words 1": "INFO",
        "TensorRT: words 2": "INFO",
        "TensorRT: words 3": "DEBUG",
    }
    assert log.last == "words 1"
    for number in range(99):
        log.log(Severity.ERROR, f"{number}")
    assert len(log.errors) == 8
