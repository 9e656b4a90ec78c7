"""TensorRT, pycuda and cuda-bindings themselves: what the tests without a GPU take for granted of them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg

from engines.detections import Detections
from engines.detector import Detector, open_detector
from engines.jpeg_detector import Damaged, Frame
from engines.tensorrt.detector import GpuDetector, on_gpu
from engines.tensorrt.device import Device
from engines.tensorrt.engine import TensorRtEngine
from engines.tensorrt.errors import DeviceError, OutOfDeviceMemoryError
from engines.tensorrt.library import Library
from engines.tensorrt.network import load_network
from producers.street import Street
from streamer.models import model_path
from streamer.settings import DetectSettings
from tests.fakes.pycuda_signatures import RECORD, documented
from tests.on_gpu import detect_jpegs, free_memory
from tests.tensorrt.test_fakes import simulated
from tests.tensorrt.test_gpu_detector import CAT, DOG, FRAMES, NAMES, SAME_CAT, by_cpu
from tests.unit.networks import constant_network, rows


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Multiplies its boxes and scores with a picture's brightest value; any batch."""
    table = rows(CAT, SAME_CAT, DOG, count=84, width=6)
    answer = {"output0": np.ascontiguousarray(table.transpose(0, 2, 1))}
    path = tmp_path_factory.mktemp("model") / "m.onnx"
    return constant_network(path, answer, ("n", 3, 64, 64), NAMES, brightness=True)


def opened(model: Path, engine: str = "tensorrt", **settings: Any) -> Detector:
    return open_detector(DetectSettings(model=str(model), engine=engine, batch=4, **settings), threads=1)


def test_pycuda_is_as_recorded() -> None:
    import pycuda.driver as driver

    recorded = json.loads(RECORD.read_text(encoding="utf-8"))
    for name, arguments in recorded["functions"].items():
        assert documented(getattr(driver, name).__doc__) == arguments, name
    assert all(hasattr(driver, name) for name in recorded["errors"])
    for kind in recorded["classes"]:
        assert simulated(kind) <= set(dir(getattr(driver, kind))), kind


def test_the_context_is_the_primary_one(device: Device) -> None:
    from cuda.bindings import driver

    with device.use("a test"):
        _, current = driver.cuCtxGetCurrent()
        _, number = driver.cuCtxGetDevice()
        _, primary = driver.cuDevicePrimaryCtxRetain(number)
        driver.cuDevicePrimaryCtxRelease(number)
        assert int(current) == int(primary)


@pytest.mark.parametrize("graphs", [True, False])
def test_answers_are_onnx_runtimes(model: Path, graphs: bool) -> None:
    detector, reference = opened(model), opened(model, "onnxruntime")
    assert isinstance(detector.engine, TensorRtEngine)
    # The slot that the detector was opened with has recorded already.
    detector.engine.let_buffers_go()
    detector.engine.graphs = graphs
    random = np.random.default_rng(1)
    for size in (1, 4, 2, 2, 3, 1, 4, 2):
        batch = random.random((size, 3, 64, 64), np.float32)
        [found], [expected] = detector.engine.infer(batch), reference.engine.infer(batch)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert detector.engine.recorded == (4 if graphs else 0), "recording failed; see the log"
    detector.close()


def test_from_jpeg_to_boxes(model: Path) -> None:
    detector, reference = opened(model), opened(model, "onnxruntime")
    whole = on_gpu(detector)
    assert whole is not None
    for count in (1, 4, 5, 3, 9):
        frames = (FRAMES * 2)[:count]
        for one, other in zip(detect_jpegs(whole, frames), by_cpu(reference, frames), strict=True):
            # Another decoder: the brightest value of a picture may differ by some steps of 255.
            assert not isinstance(one, Damaged)
            np.testing.assert_allclose(one.boxes, other.boxes, atol=2)
            np.testing.assert_allclose(one.scores, other.scores, atol=0.03)
            np.testing.assert_array_equal(one.classes, other.classes)
    whole.close()


def on_streets(graphs: bool, slots: int = 1) -> GpuDetector:
    """The shipped model, for up to 32 frames."""
    settings = DetectSettings(model=str(model_path("street")), engine="tensorrt", batch=max(TURNS))
    detector = open_detector(settings, threads=1)
    assert isinstance(detector.engine, TensorRtEngine)
    detector.engine.graphs = graphs
    whole = on_gpu(detector, slots)
    assert whole is not None
    return whole


def bits(found: Sequence[Detections | Damaged]) -> list[tuple[bytes, ...]]:
    """All that was found, frame by frame."""
    whole = [one for one in found if not isinstance(one, Damaged)]
    assert len(whole) == len(found)
    return [(one.boxes.tobytes(), one.scores.tobytes(), one.classes.tobytes()) for one in whole]


TURNS = (1, 32, 7, 32, 1)


@pytest.fixture(scope="module")
def streets() -> list[Frame]:
    """Different ones, with people and vehicles."""
    street = Street((1280, 720), seed=3)
    pictures = [street.draw(5 * number) for number in range(max(TURNS))]
    return [Frame(simplejpeg.encode_jpeg(picture, 85, "BGR", "420"), 1280, 720) for picture in pictures]


@pytest.fixture(scope="module")
def alone(streets: list[Frame]) -> dict[int, list[tuple[bytes, ...]]]:
    """Of each size, what a detector finds that has done nothing else, without graphs."""
    found: dict[int, list[tuple[bytes, ...]]] = {}
    for size in set(TURNS):
        detector = on_streets(graphs=False)
        found[size] = bits(detect_jpegs(detector, streets[:size]))
        detector.close()
    assert any(boxes for boxes, *_ in found[max(TURNS)])
    return found


@pytest.mark.parametrize("graphs", [True, False])
@pytest.mark.parametrize("slots", [1, 2])
def test_batches_of_all_sizes_in_turn(
    streets: list[Frame], alone: dict[int, list[tuple[bytes, ...]]], graphs: bool, slots: int
) -> None:
    detector = on_streets(graphs, slots)
    for size in TURNS * 2:
        assert bits(detect_jpegs(detector, streets[:size])) == alone[size], size
    assert all(bool(lane.slot.recorded) == graphs for lane in detector.lanes), "recording failed; see the log"
    detector.close()


def test_the_boxes_of_a_frame_are_the_same_in_every_batch(alone: dict[int, list[tuple[bytes, ...]]]) -> None:
    for size, found in alone.items():
        assert found == alone[max(TURNS)][:size], size


@pytest.mark.parametrize("size", [(1280, 720), (1279, 719), (640, 480), (33, 17)])
@pytest.mark.parametrize("subsampling", ["420", "422", "444", "Gray"])
def test_decoded_as_by_the_cpu(device: Device, size: tuple[int, int], subsampling: str) -> None:
    from engines.tensorrt.jpeg import GpuJpegs, jpeg_decoder

    y, x = np.mgrid[: size[1], : size[0]]
    picture = np.stack([x % 256, y % 256, (x + y) // 8 % 256], 2).astype(np.uint8)
    given = picture[:, :, :1].copy() if subsampling == "Gray" else picture
    colour = "GRAY" if subsampling == "Gray" else "RGB"
    jpeg = simplejpeg.encode_jpeg(given, 95, colour, subsampling)
    expected = simplejpeg.decode_jpeg(jpeg, "RGB", False, False).astype(int)
    with device.use("a test"):
        stream = device.stream()
        decoder = jpeg_decoder(device, stream)
        assert isinstance(decoder, GpuJpegs), "nvImageCodec is not installed"
        [pixels] = decoder.decode([Frame(jpeg, *size)], [size])
        assert not decoder.by_cpu, "the CPU was asked: nvJPEG is missing, or can't decode it"
        assert not isinstance(pixels, Damaged)
        raw = np.empty((size[1], pixels.pitch), np.uint8)
        # The last row may end before its pitch does.
        whole = pixels.pitch * (size[1] - 1) + 3 * size[0]
        device.copy_out(raw.reshape(-1)[:whole], pixels.address, stream)
        stream.synchronize()
        decoder.close()
    found = raw[:, : 3 * size[0]].reshape(size[1], size[0], 3).astype(int)
    difference = np.abs(found - expected)
    assert difference.mean() < 1.5
    assert np.percentile(difference, 99) <= 8


def test_memory_is_given_back(device: Device, model: Path) -> None:
    def whole_round() -> None:
        whole = on_gpu(opened(model))
        assert whole is not None
        detect_jpegs(whole, FRAMES[:4])
        whole.close()

    whole_round()  # what CUDA, TensorRT, nvImageCodec and our machine code take once
    before = free_memory(device)
    for _ in range(20):
        whole_round()
    assert before - free_memory(device) < 64 << 20


def test_too_much_memory_is_said_in_one_line(device: Device) -> None:
    with pytest.raises(OutOfDeviceMemoryError, match="a test: out of memory on the GPU"), device.use("a test"):
        device.allocate(device.memory * 2)


def test_a_plan_that_is_none(device: Device, tensorrt: Library) -> None:
    with pytest.raises(DeviceError, match="loading the engine"), device.use("a test"):
        load_network(tensorrt, b"nonsense" * 100, Path("m.onnx"))
