"""From JPEG to boxes on a simulated GPU, by the real kernels: as the detector of a CPU worker finds them."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import simplejpeg
from onnx import TensorProto

from engines.detections import Detections
from engines.detector import Detector
from engines.jpeg import decode_scaled
from engines.jpeg_detector import Damaged, Frame
from engines.tensorrt.boxes import Boxes, Task
from engines.tensorrt.detector import GpuDetector, on_gpu
from engines.tensorrt.engine import TensorRtEngine
from engines.tensorrt.errors import DeviceError, DeviceLostError, DriverTooOldError, OutOfDeviceMemoryError
from engines.tensorrt.pictures import Colours, Pixels
from engines.tensorrt.postprocess import reading
from engines.tensorrt.slots import Slot
from streamer.errors import ModelError
from tests.on_gpu import detect_jpegs
from tests.tensorrt.rig import Rig
from tests.unit.networks import constant_network, rows

SIZE = 64
NAMES = {"names": "{0: 'cat', 1: 'dog'}", "imgsz": "[64, 64]"}
CAT, SAME_CAT, DOG = (32, 32, 16, 16, 0.9, 0), (33, 32, 16, 16, 0.6, 0), (8, 32, 6, 6, 0, 0.2)


def network(folder: Path, shape: Sequence[int | str] = ("n", 3, SIZE, SIZE), brightness: bool = True) -> Path:
    """Multiplies its boxes and scores with a picture's brightest value."""
    table = rows(CAT, SAME_CAT, DOG, count=84, width=6)
    answer = {"output0": np.ascontiguousarray(table.transpose(0, 2, 1))}
    return constant_network(folder / "m.onnx", answer, shape, NAMES, brightness=brightness)


def jpeg(width: int, height: int, brightest: int = 255) -> Frame:
    random = np.random.default_rng(width + height)
    picture = random.integers(0, brightest + 1, (height, width, 3), dtype=np.uint8)
    picture[: height // 2] = brightest
    return Frame(simplejpeg.encode_jpeg(picture, quality=95), width, height)


def both(rig: Rig, path: Path, **settings: Any) -> tuple[Detector, GpuDetector]:
    on_cpu, for_arrays = rig.detectors(path, **settings)
    whole = on_gpu(for_arrays)
    assert whole is not None
    return on_cpu, whole


def by_cpu(detector: Detector, frames: Sequence[Frame]) -> list[Detections]:
    batch = detector.new_batch(len(frames))
    sizes = [(frame.width, frame.height) for frame in frames]
    placements = []
    for frame, size, slot in zip(frames, sizes, batch, strict=True):
        picture = decode_scaled(frame.jpeg, size, size, detector.model.colour)
        placements.append(detector.prepare(picture, size, slot))
    return detector.detect(batch, placements, [frame.unsure for frame in frames])


def same(found: Sequence[Detections | Damaged], expected: Sequence[Detections]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert not isinstance(one, Damaged)
        np.testing.assert_allclose(one.boxes, other.boxes, atol=1e-3)
        np.testing.assert_allclose(one.scores, other.scores, rtol=1e-6)
        np.testing.assert_array_equal(one.classes, other.classes)


FRAMES = [jpeg(128, 96), jpeg(64, 64), jpeg(100, 40), jpeg(32, 120, 200), jpeg(61, 64)]


@pytest.mark.parametrize("count", [1, 2, 4, 9])
def test_as_the_cpu_finds_them(decoders: Rig, tmp_path: Path, count: int) -> None:
    on_cpu, on_simulated = both(decoders, network(tmp_path))
    frames = (FRAMES * 2)[:count]
    for _ in range(3):
        same(detect_jpegs(on_simulated, frames), by_cpu(on_cpu, frames))


def test_places_that_fill_a_batch_up_are_empty(decoders: Rig, tmp_path: Path) -> None:
    """Batches of 9 are run as 10: of the largest one, in whose tenth place a picture was, nothing is left."""
    on_cpu, on_simulated = both(decoders, network(tmp_path), batch=16)
    for count in (16, 16, 9, 9):  # the two slots take turns
        frames = (FRAMES * 4)[:count]
        same(detect_jpegs(on_simulated, frames), by_cpu(on_cpu, frames))
    slot = on_simulated.lanes[1].slot
    assert slot.around.pictures["inner_width"][8:11].astype(bool).tolist() == [True, False, True]


def test_a_network_of_a_fixed_batch_is_filled_up(decoders: Rig, tmp_path: Path) -> None:
    on_cpu, on_simulated = both(decoders, network(tmp_path, (4, 3, SIZE, SIZE)), fixed=True)
    for frames in (FRAMES[:4], FRAMES[:1], FRAMES[:3]):
        same(detect_jpegs(on_simulated, frames), by_cpu(on_cpu, frames))


def test_less_sure_boxes_of_those_frames_that_want_them(decoders: Rig, tmp_path: Path) -> None:
    on_cpu, on_simulated = both(decoders, network(tmp_path, brightness=False), candidate_confidence=0.1)
    frames = [Frame(one.jpeg, one.width, one.height, unsure) for one, unsure in zip(FRAMES, (1, 0, 1), strict=False)]
    found = detect_jpegs(on_simulated, frames)
    assert [len(one) for one in found if not isinstance(one, Damaged)] == [2, 1, 2]
    same(found, by_cpu(on_cpu, frames))


def test_selection(decoders: Rig, tmp_path: Path) -> None:
    settings = {"classes": ("dog",), "confidence": 0.1, "max_objects": 5, "agnostic_nms": True}
    on_cpu, on_simulated = both(decoders, network(tmp_path, brightness=False), **settings)
    found = detect_jpegs(on_simulated, FRAMES[:2])
    assert all(not isinstance(one, Damaged) and one.classes.tolist() == [1] for one in found)
    same(found, by_cpu(on_cpu, FRAMES[:2]))


@pytest.mark.parametrize(
    "broken", [b"", b"nothing", FRAMES[0].jpeg[:50], b"\xff\xd8" + bytes(99)], ids=["empty", "text", "cut", "zeros"]
)
def test_damaged_frames_are_none_and_the_others_are_found(decoders: Rig, tmp_path: Path, broken: bytes) -> None:
    on_cpu, on_simulated = both(decoders, network(tmp_path))
    found = detect_jpegs(on_simulated, [FRAMES[0], Frame(broken, 64, 64), FRAMES[2], Frame(broken, 64, 64)])
    assert [isinstance(one, Damaged) for one in found] == [False, True, False, True]
    same([found[0], found[2]], by_cpu(on_cpu, [FRAMES[0], FRAMES[2]]))


def test_a_frame_of_another_size_than_it_says_is_none(decoders: Rig, tmp_path: Path) -> None:
    on_cpu, on_simulated = both(decoders, network(tmp_path))
    found = detect_jpegs(on_simulated, [Frame(FRAMES[0].jpeg, 64, 48), FRAMES[1]])
    assert found[0] == Damaged("a JPEG of 128x96, said to be of 64x48")
    same(found[1:], by_cpu(on_cpu, FRAMES[1:2]))


def test_nv12_pictures_go_in_as_they_are(rig_with_kernels: Rig, tmp_path: Path) -> None:
    on_cpu, for_arrays = rig_with_kernels.detectors(network(tmp_path))
    engine, read = for_arrays.engine, reading(on_cpu.head, (4, 6, 84))
    assert isinstance(engine, TensorRtEngine)
    assert read is not None
    task = Task(on_cpu.model, engine.input, read, (on_cpu.selection.thresholds,), on_cpu.selection, nv12=True)
    with engine.device.use("a test"):
        slot = Slot[Boxes](engine.device, engine.network, lambda slot: Boxes(slot, task), graphs=True)
    luma, chroma = np.full((64, 64), 235, np.uint8), np.full((32, 64), 128, np.uint8)
    pixels = Pixels(luma.ctypes.data, 64, 64, 64, chroma.ctypes.data, 64, Colours.BT709_LIMITED)
    white = np.full((64, 64, 3), 255, np.uint8)
    for _ in range(2):
        slot.around.place(0, pixels, (64, 64))
        slot.submit(1)
        slot.wait()
        same([slot.around.found(0)], on_cpu.detect_pictures([white]))
    slot.close()


def test_batches_overlap_and_come_back_in_order(decoders: Rig, tmp_path: Path) -> None:
    on_cpu, on_simulated = both(decoders, network(tmp_path))
    assert on_simulated.depth == 2
    on_simulated.start(FRAMES[:2])
    on_simulated.start(FRAMES[2:4])
    same(on_simulated.finish(), by_cpu(on_cpu, FRAMES[:2]))
    on_simulated.start(FRAMES[:1])
    same(on_simulated.finish(), by_cpu(on_cpu, FRAMES[2:4]))
    same(on_simulated.finish(), by_cpu(on_cpu, FRAMES[:1]))


@pytest.mark.parametrize("frames", [FRAMES[:4], FRAMES[1:]], ids=["all decoded", "one that the GPU can't decode"])
def test_once_warm_nothing_is_allocated_and_each_batch_waits_once(
    decoders: Rig, tmp_path: Path, frames: list[Frame]
) -> None:
    _, on_simulated = both(decoders, network(tmp_path))
    for start in range(3):  # in turn, as a worker's batches differ
        detect_jpegs(on_simulated, (frames[start:] + frames[:start]) * 2)
    before = decoders.gpu.calls.copy()

    detect_jpegs(on_simulated, frames * 5)

    made = decoders.gpu.calls - before
    assert made["synchronize"] == made["cuGraphLaunch"] == 5
    assert not {"mem_alloc", "pagelocked_empty", "new images", "launch"} & set(made)


def test_everything_is_given_back(decoders: Rig, tmp_path: Path) -> None:
    _, on_simulated = both(decoders, network(tmp_path))
    detect_jpegs(on_simulated, FRAMES)
    on_simulated.close()
    assert not decoders.gpu.taken
    assert decoders.gpu.graphs == 0
    assert decoders.gpu.stack == []
    assert (+decoders.gpu.alive, decoders.gpu.lost) == ({}, [])


def test_a_class_without_a_name(decoders: Rig, tmp_path: Path) -> None:
    table = rows((8, 8, 40, 40, 0.9, 2), count=30, width=6)
    path = constant_network(tmp_path / "m.onnx", {"o": table}, ("n", 3, SIZE, SIZE), NAMES, brightness=True)
    _, on_simulated = both(decoders, path)
    with pytest.raises(ModelError, match=r"m\.onnx: it found class 2, and only 2 have names"):
        detect_jpegs(on_simulated, FRAMES[:1])


def rtdetr(folder: Path, logits: bool, apart: bool, dtype: int = TensorProto.FLOAT) -> Path:
    """Two cats that overlap and a dog, each found by a query of its own. apart: in two outputs, scores first."""
    boxes = rows((0.5, 0.5, 0.25, 0.25), (0.52, 0.5, 0.25, 0.25), (0.125, 0.5, 0.1, 0.1), count=30, width=4)
    scores = np.full((1, 30, 2), -4 if logits else 0.02, np.float32)
    scores[0, :3] = [(3, -3), (2, -3), (-3, 1)] if logits else [(0.9, 0.1), (0.8, 0.1), (0, 0.7)]
    outputs = {"scores": scores, "boxes": boxes} if apart else {"o": np.concatenate([boxes, scores], 2)}
    return constant_network(folder / "m.onnx", outputs, ("n", 3, SIZE, SIZE), NAMES, dtype, brightness=True)


@pytest.mark.parametrize("dtype", [TensorProto.FLOAT, TensorProto.FLOAT16])
@pytest.mark.parametrize("logits", [False, True])
@pytest.mark.parametrize("apart", [False, True])
def test_rtdetr(decoders: Rig, tmp_path: Path, logits: bool, apart: bool, dtype: int) -> None:
    on_cpu, on_simulated = both(decoders, rtdetr(tmp_path, logits, apart, dtype))
    assert (on_cpu.model.head, on_cpu.model.padding) == ("rtdetr", "stretch")
    expected = by_cpu(on_cpu, FRAMES)
    assert [len(one) for one in expected] == [3] * 5
    same(detect_jpegs(on_simulated, FRAMES), expected)


def test_outputs_of_mixed_types_stay_with_the_cpu(rig_with_kernels: Rig, tmp_path: Path) -> None:
    _, for_arrays = rig_with_kernels.detectors(rtdetr(tmp_path, logits=True, apart=True))
    assert isinstance(for_arrays.engine, TensorRtEngine)
    scores, boxes = for_arrays.engine.network.outputs
    for_arrays.engine.network.outputs = (replace(scores, dtype=np.dtype(np.float16)), boxes)
    assert on_gpu(for_arrays) is None


@pytest.mark.parametrize("decoders", ["on the CPU"], indirect=True)
@pytest.mark.parametrize(("padding", "decoded"), [("centre", (36, 64)), ("stretch", (72, 128))])
def test_the_cpu_decodes_no_smaller_than_the_network_takes_pictures(
    decoders: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, padding: str, decoded: tuple[int, int]
) -> None:
    sizes = []

    def measured(*arguments: Any) -> Any:
        picture = decode_scaled(*arguments)
        sizes.append(picture.shape[:2])
        return picture

    monkeypatch.setattr("engines.tensorrt.jpeg.decode_scaled", measured)
    stretched = rtdetr(tmp_path, logits=False, apart=False)
    _, on_simulated = both(decoders, stretched if padding == "stretch" else network(tmp_path))
    detect_jpegs(on_simulated, [jpeg(256, 144)])
    assert sizes == [decoded]


def test_fastestdet(decoders: Rig, shared: Path) -> None:
    on_cpu, on_simulated = both(decoders, shared / "models" / "FastestDet.onnx", batch=1, fixed=True)
    assert (on_cpu.model.head, on_cpu.model.padding, on_cpu.model.colour) == ("fastestdet", "stretch", "BGR")
    street = cv2.VideoCapture(str(shared / "videos" / "people_street_720p.mp4"))
    # Too small to be decoded at a smaller scale, which only one of the decoders does.
    pictures = [cv2.resize(street.read()[1], (400, 300), interpolation=cv2.INTER_AREA) for _ in range(3)]
    frames = [Frame(simplejpeg.encode_jpeg(each, 90, "BGR"), 400, 300) for each in pictures]
    expected = by_cpu(on_cpu, frames)
    assert min(map(len, expected)) > 2
    same(detect_jpegs(on_simulated, frames), expected)


def test_what_kernels_do_not_read_stays_with_the_cpu(rig_with_kernels: Rig, tmp_path: Path) -> None:
    on_cpu, for_arrays = rig_with_kernels.detectors(network(tmp_path))
    for_arrays.head = object()  # type: ignore[assignment]
    assert on_gpu(for_arrays) is None
    assert on_gpu(on_cpu) is None


@pytest.mark.parametrize("decoders", ["nvimgcodec"], indirect=True)
@pytest.mark.parametrize(
    ("number", "kind"), [(35, DriverTooOldError), (2, OutOfDeviceMemoryError), (700, DeviceLostError), (1, DeviceError)]
)
def test_a_decoder_that_can_not_start(
    decoders: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[DeviceError]
) -> None:
    def fail(options: str = "") -> None:
        raise RuntimeError(f"CUDA Runtime failure: '#{number}' at helpers/nvimgcodec.cpp:12")

    monkeypatch.setattr(sys.modules["nvidia.nvimgcodec"], "Decoder", fail)
    with pytest.raises(DeviceError, match="starting nvImageCodec: ") as caught:
        both(decoders, network(tmp_path))
    assert type(caught.value) is kind
