"""The runtime on a simulated GPU: answers, order, what is allocated and waited for, what fails how."""

import importlib
import importlib.util
import threading
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from engines import engine as engines
from engines.detector import open_detector
from engines.engine import InputSpec
from engines.onnx_file import read_onnx
from engines.tensorrt import engine as engine_module
from engines.tensorrt.cuda_graph import record
from engines.tensorrt.device import open_device
from engines.tensorrt.engine import TensorRtEngine
from engines.tensorrt.errors import (
    DeviceError,
    DeviceLostError,
    DriverTooOldError,
    OutOfDeviceMemoryError,
    device_error,
)
from engines.tensorrt.layers import read_layers
from engines.tensorrt.library import open_library
from engines.tensorrt.network import load_network
from engines.tensorrt.plan_file import Plan
from engines.tensorrt.plans import Wanted
from streamer.__main__ import main
from streamer.errors import ModelError, StreamerError, UsageError
from streamer.settings import DetectSettings
from tests.conftest import need
from tests.fakes import gpu as fake
from tests.fakes.tensorrt import plan_of, tensorrt
from tests.tensorrt.rig import Rig
from tests.unit.networks import constant_network

ANSWERS = {
    "one": np.arange(12, dtype=np.float32).reshape(1, 3, 4),
    "two": np.ones((1, 5), np.float32),
}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Multiplies its answers with a picture's brightest value; any batch."""
    return constant_network(tmp_path / "m.onnx", ANSWERS, ("n", 3, 8, 8), brightness=True)


def pictures(*brightness: float, dtype: Any = np.float32) -> np.ndarray:
    batch = np.zeros((len(brightness), 3, 8, 8), dtype)
    batch[:, 1, 2, 3] = brightness
    return batch


@pytest.mark.parametrize("graphs", [True, False])
def test_answers_for_batches_of_any_size_again_and_again(rig: Rig, model: Path, graphs: bool) -> None:
    engine = rig.engine(model, batch=4, graphs=graphs)
    random = np.random.default_rng(1)
    for size in (1, 4, 2, 2, 1, 4, 3, 1, 2, 4, 3):
        values = random.uniform(1, 9, size)
        one, two = engine.infer(pictures(*values))
        np.testing.assert_allclose(one, values[:, None, None] * ANSWERS["one"], rtol=1e-6)
        np.testing.assert_allclose(two, values[:, None] * ANSWERS["two"], rtol=1e-6)
    assert rig.gpu.graphs == engine.recorded == (4 if graphs else 0)
    assert rig.gpu.stack == []


@pytest.mark.parametrize("graphs", [True, False])
def test_sizes_that_take_turns_do_not_disturb_each_other(rig: Rig, model: Path, graphs: bool) -> None:
    """A graph is undefined once its context has another shape; the simulated one refuses to run it then."""
    engine = rig.engine(model, batch=32, graphs=graphs)
    random = np.random.default_rng(1)
    for size in (1, 32, 7, 32, 1, 7, 9, 31, 9):
        values = random.uniform(1, 9, size)
        one, two = engine.infer(pictures(*values))
        np.testing.assert_allclose(one, values[:, None, None] * ANSWERS["one"], rtol=1e-6)
        np.testing.assert_allclose(two, values[:, None] * ANSWERS["two"], rtol=1e-6)
    # 9 is run as 10, and 31 as 32.
    assert engine.recorded == (4 if graphs else 0)
    assert rig.gpu.calls["create_execution_context"] == (4 if graphs else 1)
    assert rig.gpu.calls["set_input_shape"] == (4 if graphs else 9)


def test_contexts_of_a_slot_share_the_memory_that_they_work_in(rig: Rig, model: Path) -> None:
    engine = rig.engine(model, batch=8)
    engine.infer(pictures(1))
    taken = len(rig.gpu.taken)
    for size in range(1, 9):
        engine.infer(pictures(*[1] * size))
    assert (engine.recorded, len(rig.gpu.taken)) == (8, taken)


@pytest.mark.parametrize("best", [1, 11, 64])
def test_few_sizes_are_recorded_and_little_is_filled_up(rig: Rig, model: Path, best: int) -> None:
    engine = rig.engine(model, batch=64)
    engine.network.best = best
    engine.infer(pictures(1))
    slot = engine._slot
    assert slot is not None
    sizes = {size: slot.whole(size) for size in range(1, 65)}
    assert len(set(sizes.values())) <= 21
    assert sizes[best] == best
    assert sizes[64] == 64
    for size, whole in sizes.items():
        assert size <= whole < 1.25 * size
        assert slot.whole(whole) == whole
    slot.graphs = False
    assert [slot.whole(size) for size in sizes] == list(sizes)


def test_the_way_of_taking_memory_is_named_as_in_tensorrt() -> None:
    need(importlib.util.find_spec("tensorrt_rtx_bindings") is not None, "tensorrt_rtx_cu13_bindings")
    real = importlib.import_module("tensorrt_rtx_bindings").ExecutionContextAllocationStrategy
    simulated = tensorrt(fake.Gpu()).ExecutionContextAllocationStrategy
    assert {name: int(value) for name, value in real.__members__.items()} == {each.name: each for each in simulated}


def test_half_precision(rig: Rig, tmp_path: Path) -> None:
    path = constant_network(tmp_path / "m.onnx", ANSWERS, ("n", 3, 8, 8), dtype=TensorProto.FLOAT16, brightness=True)
    one, _ = rig.engine(path).infer(pictures(2, dtype=np.float16))
    assert one.dtype == np.float16
    np.testing.assert_array_equal(one, 2 * ANSWERS["one"])


def test_a_network_of_a_fixed_batch(rig: Rig, tmp_path: Path) -> None:
    path = constant_network(tmp_path / "m.onnx", ANSWERS, (2, 3, 8, 8), brightness=True)
    engine = rig.engine(path, batch=2, fixed=True)
    assert engine.network.fixed
    np.testing.assert_array_equal(engine.infer(pictures(1, 3))[1], [[1] * 5, [3] * 5])


def test_once_warm_nothing_is_allocated_and_each_batch_waits_once(rig: Rig, model: Path) -> None:
    engine = rig.engine(model)
    engine.infer(pictures(1, 2))
    before = rig.gpu.calls.copy()

    for _ in range(10):
        engine.infer(pictures(3, 4))

    made = rig.gpu.calls - before
    assert made == {"cuGraphLaunch": 10, "synchronize": 10}


def test_without_graphs_too(rig: Rig, model: Path) -> None:
    engine = rig.engine(model, graphs=False)
    engine.infer(pictures(1, 2))
    before = rig.gpu.calls.copy()
    engine.infer(pictures(3, 4))
    made = rig.gpu.calls - before
    assert made == {"memcpy_htod_async": 1, "memcpy_dtoh_async": 2, "execute_async_v3": 1, "synchronize": 1}


def test_everything_is_given_back(rig: Rig, model: Path) -> None:
    engine = rig.engine(model)
    for size in (1, 2):
        engine.infer(pictures(*[1] * size))
    assert rig.gpu.taken
    engine.close()
    engine.close()
    assert not rig.gpu.taken
    assert rig.gpu.graphs == rig.gpu.recordings == 0
    assert (+rig.gpu.alive, rig.gpu.lost) == ({}, [])


def test_two_engines_have_buffers_of_their_own(rig: Rig, model: Path) -> None:
    one, other = rig.engine(model), rig.engine(model)
    [first, *_] = one.infer(pictures(1))
    [second, *_] = other.infer(pictures(2))
    np.testing.assert_array_equal(first * 2, second)
    assert rig.gpu.calls["retain_primary_context"] == 1


def test_several_models_share_a_gpu(rig: Rig, model: Path, tmp_path: Path) -> None:
    """Each in a thread of its own, as the lanes of a worker; one that is closed leaves the other alone."""
    sevens = {"sevens": np.full((1, 2), 7, np.float32)}
    other = constant_network(tmp_path / "other.onnx", sevens, (2, 3, 8, 8), brightness=True)
    engines = rig.engine(model), rig.engine(other, batch=2, fixed=True)
    found: tuple[list[float], list[float]] = [], []

    def run(number: int) -> None:
        for value in range(1, 30):
            answers = engines[number].infer(pictures(value, value))
            found[number].append(float(answers[-1][1].flat[0]))
        if number == 0:
            engines[0].close()

    threads = [threading.Thread(target=run, args=(number,)) for number in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert found == ([float(n) for n in range(1, 30)], [7.0 * n for n in range(1, 30)])
    assert engines[1].infer(pictures(1, 1))[0][0, 0] == 7
    assert rig.gpu.calls["retain_primary_context"] == 1
    engines[1].close()
    assert not rig.gpu.taken


def test_a_plan_that_brings_code_is_loaded_only_where_it_may(rig: Rig, model: Path) -> None:
    plan = plan_of(model.read_bytes(), 4, brings_code=True)
    with open_device().use("loading"):
        with pytest.raises(DeviceError, match="code for the host, which is not allowed"):
            load_network(open_library(), plan, model)
        assert load_network(open_library(), plan, model, brings_code=True).most == 4


def test_what_can_not_be_recorded_runs_as_it_is(rig: Rig, model: Path, caplog: pytest.LogCaptureFixture) -> None:
    rig.gpu.broken["cuStreamEndCapture"] = fake.CUresult.CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED  # type: ignore[assignment]
    engine = rig.engine(model)
    for value in (1, 2, 3):
        assert engine.infer(pictures(value))[1][0, 0] == value
    assert engine.recorded == 0
    assert [record.message.partition(":")[2] for record in caplog.records] == [
        " runs without CUDA graphs, somewhat slower: a CUDA graph: CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"
    ]


@pytest.mark.parametrize("at", ["work", "cuGraphInstantiate"])
def test_a_recording_that_fails_leaves_nothing_behind(rig: Rig, at: str) -> None:
    def work() -> None:
        if at == "work":
            raise DeviceError("it can't be recorded")
        rig.gpu.broken[at] = fake.CUresult.CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED  # type: ignore[assignment]

    device = open_device()
    with device.use("recording"):
        stream = device.stream()
        with pytest.raises(DeviceError):
            record(stream, work)
        assert rig.gpu.graphs == rig.gpu.recordings == 0
        rig.gpu.broken.clear()
        record(stream, lambda: None).close()
    assert rig.gpu.graphs == rig.gpu.recordings == 0


FULL = fake.MemoryError("cuMemAlloc failed: out of memory")
LOST = fake.LaunchError("cuEventSynchronize failed: an illegal memory access was encountered")


@pytest.mark.parametrize(
    ("call", "error", "kind", "words"),
    [
        ("mem_alloc", FULL, OutOfDeviceMemoryError, "making room for batches: out of memory on the GPU; choose a smal"),
        ("pagelocked_empty", FULL, OutOfDeviceMemoryError, "out of memory"),
        ("create_execution_context", FULL, OutOfDeviceMemoryError, "m.onnx: making an execution context: out of memo"),
        ("synchronize", LOST, DeviceLostError, "inference: the GPU failed .*see the kernel's log"),
        ("execute_async_v3", LOST, DeviceLostError, "m.onnx: inference: the GPU failed"),
        ("cuGraphLaunch", fake.CUresult.CUDA_ERROR_ILLEGAL_ADDRESS, DeviceLostError, "CUDA_ERROR_ILLEGAL_ADDRESS"),
        ("memcpy_htod_async", fake.LogicError("x failed: invalid argument"), DeviceError, "inference: x failed: inval"),
    ],
)
def test_failures_are_errors_of_one_line(rig: Rig, model: Path, call: str, error: Any, kind: Any, words: str) -> None:
    engine = rig.engine(model)
    if call == "cuGraphLaunch":
        engine.infer(pictures(1))
    rig.gpu.broken[call] = error
    with pytest.raises(kind, match=words) as raised:
        engine.infer(pictures(1))
    assert isinstance(raised.value, StreamerError)
    assert "\n" not in str(raised.value)
    assert rig.gpu.stack == []


GONE = fake.LogicError("cuCtxPopCurrent failed: unspecified launch failure")


@pytest.mark.parametrize("call", ["push", "pop"])
def test_a_context_that_can_not_be_changed_is_an_error_of_one_line(rig: Rig, model: Path, call: str) -> None:
    engine = rig.engine(model)
    rig.gpu.broken[call] = GONE
    with pytest.raises(DeviceLostError, match=r"making room for batches: the GPU failed .*unspecified launch failure"):
        engine.infer(pictures(1))


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (LOST, DeviceLostError, "a test: the GPU failed .*illegal memory access"),
        (DeviceError("the first"), DeviceError, "the first"),
        (ModelError("of the model"), ModelError, "of the model"),
    ],
)
def test_what_broke_a_context_is_told_and_not_that_it_is_broken(
    rig: Rig, error: Exception, kind: type[Exception], words: str
) -> None:
    device = open_device()
    rig.gpu.broken["pop"] = GONE
    with pytest.raises(kind, match=words), device.use("a test"):
        raise error


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("CUDA_ERROR_OUT_OF_MEMORY", OutOfDeviceMemoryError),
        ("Requested amount of GPU memory (9 bytes) could not be allocated", OutOfDeviceMemoryError),
        ("cuStreamSynchronize failed: unspecified launch failure", DeviceLostError),
        ("uncorrectable ECC error encountered", DeviceLostError),
        ("CUDA initialization failure with error: 35", DriverTooOldError),
        ("CUDA driver version is insufficient for CUDA runtime version", DriverTooOldError),
        ("cuModuleLoadDataEx failed: no kernel image is available for execution on the device", DeviceError),
    ],
)
def test_what_cuda_says_becomes_an_error_of_its_kind(words: str, kind: type) -> None:
    assert type(device_error("a test", words)) is kind


def test_a_batch_larger_than_the_profile(rig: Rig, model: Path) -> None:
    engine = rig.engine(model, batch=2)
    with pytest.raises(ValueError, match="broadcast"):
        engine.infer(pictures(1, 2, 3))


def test_a_plan_that_is_none(rig: Rig, model: Path) -> None:
    with pytest.raises(DeviceError, match=r"m\.onnx: loading the engine: .*magicTagRead"):
        rig.engine_of(b"nonsense", model)


def test_a_driver_too_old_for_tensorrt(rig: Rig, model: Path) -> None:
    rig.gpu.broken["Runtime"] = fake.Error("CUDA initialization failure with error: 35 In checkCudaInstallation")
    with pytest.raises(DriverTooOldError, match="starting TensorRT: the NVIDIA driver is missing or too old"):
        rig.engine(model)
    with pytest.raises(DriverTooOldError, match="starting TensorRT"), open_device().use("inspecting"):
        read_layers(open_library(), plan_of(model.read_bytes(), 4))


def test_outputs_whose_size_depends_on_the_picture(rig: Rig, tmp_path: Path) -> None:
    path = constant_network(tmp_path / "m.onnx", {"o": np.ones((1, 5, 6), np.float32)}, ("n", 3, "h", "w"))
    with pytest.raises(ModelError, match="the size of images depends on the picture"):
        rig.engine(path)


@pytest.mark.parametrize("kind", ["BF16", "FP8"])
def test_outputs_in_a_format_that_numpy_does_not_have(
    rig: Rig, model: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The formats and what becomes of them are TensorRT-RTX's own."""
    need(importlib.util.find_spec("tensorrt_rtx_bindings") is not None, "tensorrt_rtx_cu13_bindings")
    real = importlib.import_module("tensorrt_rtx_bindings")
    monkeypatch.setattr(open_library().trt, "nptype", lambda _: real.nptype(getattr(real.DataType, kind)))
    monkeypatch.setattr(open_library().trt.ICudaEngine, "get_tensor_dtype", lambda *_: getattr(real.DataType, kind))
    with pytest.raises(ModelError, match=rf"m\.onnx: images is in {kind}, which numpy doesn't have; export it with"):
        rig.engine(model)


def test_opened_by_its_name_in_the_registry(
    rig: Rig, model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    built: list[Wanted] = []

    def obtain(wanted: Wanted) -> Plan:
        built.append(wanted)
        return Plan(plan_of(model.read_bytes(), wanted.spec.batch), None, (), "m.onnx", 1.0, 0.0)

    monkeypatch.setattr(engine_module, "obtain_plan", obtain)
    monkeypatch.chdir(tmp_path)
    file = read_onnx(model)
    spec = InputSpec(8, 8, 3, False, np.dtype(np.float32))

    engines = [engine_module.open_engine(file, spec, threads=1) for _ in range(2)]

    [wanted] = built
    assert (wanted.gpu.name, wanted.gpu.architecture) == ("Simulated", "sm_90")
    assert [engine.name for engine in engines] == ["tensorrt", "tensorrt"]
    for engine in engines:
        assert engine.infer(pictures(1, 2, 3))[1][:, 0].tolist() == [1, 2, 3]


@pytest.mark.parametrize(("batch", "most"), [(0, 16), (3, 3)])
def test_a_model_with_an_open_batch_takes_many_unless_told_otherwise(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, batch: int, most: int
) -> None:
    def obtain(wanted: Wanted) -> Plan:
        return Plan(plan_of(path.read_bytes(), wanted.spec.batch), None, (), "m.onnx", 1.0, 0.0)

    path = constant_network(tmp_path / "m.onnx", {"output0": np.ones((1, 7, 84), np.float32)}, ("n", 3, 64, 64))
    point = EntryPoint("tensorrt", "engines.tensorrt.engine:open_engine", engines.GROUP)
    monkeypatch.setattr(engines, "entry_points", lambda group: [point])
    monkeypatch.setattr(engine_module, "obtain_plan", obtain)
    monkeypatch.chdir(tmp_path)
    detector = open_detector(DetectSettings(model=str(path), engine="tensorrt", head="yolov8", batch=batch), threads=1)
    assert isinstance(detector.engine, TensorRtEngine)
    assert detector.batch == detector.engine.network.most == most
    assert len(detector.detect_pictures([np.zeros((64, 64, 3), np.uint8)] * 20)) == 20


def test_a_file_named_on_the_command_line_has_a_say_in_how_it_is_built(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    built: list[Wanted] = []

    def obtain(wanted: Wanted) -> Plan:
        built.append(wanted)
        raise ModelError("enough is known")

    path = constant_network(tmp_path / "m.onnx", ANSWERS, ("n", 3, 8, 8))
    monkeypatch.setattr(engine_module, "obtain_plan", obtain)
    monkeypatch.chdir(tmp_path)
    config = tmp_path / "other.toml"
    config.write_text("[tensorrt]\ntf32 = true\nbest_batch = 2\n", encoding="utf-8")
    for words in ([], ["--config", str(config)], []):
        assert main(["model", "inspect", str(path), "--engine", "tensorrt", *words]) == ModelError.exit_code
    found = [(wanted.settings.tf32, wanted.settings.best_batch) for wanted in built]
    assert found == [(False, 0), (True, 2), (False, 0)]


def test_no_gpu(rig: Rig, model: Path) -> None:
    rig.gpu.count = 0
    with pytest.raises(DeviceError, match="there is no GPU number 0 here, only 0; engine tensorrt needs one"):
        open_device()


def test_no_driver(rig: Rig) -> None:
    rig.gpu.broken["init"] = fake.LogicError("cuInit failed: system has unsupported display driver / cuda driver")
    with pytest.raises(DriverTooOldError, match="starting CUDA: the NVIDIA driver is missing or too old"):
        open_device()


def test_nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pycuda", None)
    open_device.cache_clear()
    with pytest.raises(UsageError, match=r"engine tensorrt needs the package pycuda: `pip install"):
        open_device()
