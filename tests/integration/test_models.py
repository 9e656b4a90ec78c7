"""Real detectors: the same network in several layouts, precisions and engines finds the same."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import version_converter
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
from onnxruntime.transformers.float16 import convert_float_to_float16

from engines.detections import Detections
from engines.detector import Detector, open_detector
from streamer.settings import DetectSettings

LAYOUTS = ("yolox_nano.onnx", "yolox_nano_as_v5.onnx", "yolox_nano_as_v8.onnx", "yolox_nano_as_end2end.onnx")


@pytest.fixture(scope="module")
def pictures(shared: Path) -> list[NDArray[np.uint8]]:
    """RGB pictures of the slideshow, and of a crowded street."""
    return [*_every(shared, "coco_slideshow_dev.mp4", 20), *_every(shared, "people_street_720p.mp4", 170)]


def _every(shared: Path, clip: str, step: int) -> list[NDArray[np.uint8]]:
    with av.open(str(shared / "videos" / clip)) as container:
        frames = enumerate(container.decode(video=0))
        return [frame.to_ndarray(format="rgb24") for number, frame in frames if number % step == 2]


def detector(path: Path, **settings: Any) -> Detector:
    return open_detector(DetectSettings(model=str(path), padding="centre", confidence=0.1, **settings), threads=1)


def found(opened: Detector, pictures: Sequence[NDArray[np.uint8]]) -> list[Detections]:
    swap = opened.model.colour == "BGR"
    return opened.detect_pictures([np.ascontiguousarray(p[..., ::-1]) if swap else p for p in pictures])


def found_again(these: Detections, those: Detections, iou: float, above: float = 0.3) -> list[bool]:
    """For each of these above a score: whether a box of its class among those overlaps it by more than `iou`."""
    return [
        any(overlap(box, other) > iou for other in those.boxes[those.classes == kind])
        for box, score, kind in zip(these.boxes, these.scores, these.classes, strict=True)
        if score > above
    ]


def overlap(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    width, height = np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0)
    both = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return float(width * height / (both - width * height))


@pytest.fixture(scope="module")
def expected(shared: Path, pictures: list[NDArray[np.uint8]]) -> list[Detections]:
    """What the network finds, as YOLOv8, in ONNX Runtime."""
    boxes = found(detector(shared / "models" / "yolox_nano_as_v8.onnx"), pictures)
    assert sum(int((each.scores > 0.3).sum()) for each in boxes) > 50
    return boxes


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_layouts_and_engines_agree(
    shared: Path, pictures: list[NDArray[np.uint8]], expected: list[Detections], name: str, engine: str
) -> None:
    if engine == "openvino":
        pytest.importorskip("openvino")
    boxes = found(detector(shared / "models" / name, engine=engine), pictures)
    for these, those in zip(boxes, expected, strict=True):
        assert all(found_again(these, those, 0.99))
        assert all(found_again(those, these, 0.99))
        if engine == "onnxruntime":
            confident = [np.sort(each.scores[each.scores > 0.3]) for each in (these, those)]
            np.testing.assert_allclose(*confident, atol=1e-3)


@pytest.mark.parametrize(
    ("name", "head", "padding"),
    [
        ("yolox_nano.onnx", "yolox", "top-left"),
        ("yolox_nano_as_v5.onnx", "yolov5", "centre"),
        ("yolox_nano_as_v8.onnx", "yolov8", "centre"),
        ("yolox_nano_as_end2end.onnx", "end2end", "centre"),
        ("FastestDet.onnx", "fastestdet", "stretch"),
    ],
)
def test_heads_are_recognised_and_find_people(
    shared: Path, pictures: list[NDArray[np.uint8]], name: str, head: str, padding: str
) -> None:
    opened = open_detector(DetectSettings(model=str(shared / "models" / name), confidence=0.5), threads=1)
    assert (opened.model.head, opened.model.padding, opened.model.classes[0]) == (head, padding, "person")
    boxes = found(opened, pictures)
    assert sum(int((each.classes == 0).sum()) for each in boxes) >= 10
    for each, picture in zip(boxes, pictures, strict=True):
        assert (each.boxes >= 0).all()
        assert (each.boxes[:, 2:] <= [picture.shape[1], picture.shape[0]]).all()


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("keep_io_types", [True, False])
def test_half_precision(
    shared: Path,
    tmp_path: Path,
    pictures: list[NDArray[np.uint8]],
    expected: list[Detections],
    keep_io_types: bool,
    engine: str,
) -> None:
    if engine == "openvino":
        pytest.importorskip("openvino")
    model = onnx.load(shared / "models" / "yolox_nano_as_v8.onnx")
    onnx.save(convert_float_to_float16(model, keep_io_types=keep_io_types), tmp_path / "m.onnx")

    boxes = found(detector(tmp_path / "m.onnx", engine=engine), pictures)

    again = [each for pair in zip(expected, boxes, strict=True) for each in found_again(*pair, 0.95)]
    assert np.mean(again) > 0.98


class _Calibration(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, opened: Detector, pictures: Sequence[NDArray[np.uint8]]) -> None:
        self._opened, self._left = opened, list(pictures)

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        if not self._left:
            return None
        picture = self._left.pop()
        batch = self._opened.new_batch(1)
        self._opened.prepare(picture, picture.shape[1::-1], batch[0])
        return {"images": batch}


@pytest.fixture(scope="module")
def quantised(shared: Path, tmp_path_factory: pytest.TempPathFactory, pictures: list[NDArray[np.uint8]]) -> Path:
    """The same network with most of its convolutions in INT8."""
    whole, folder = shared / "models" / "yolox_nano_as_v8.onnx", tmp_path_factory.mktemp("int8")
    # A scale per channel, without which depth-wise convolutions lose everything, came with opset 13.
    model = version_converter.convert_version(onnx.load(whole), 13)
    onnx.save(model, folder / "opset13.onnx")
    convolutions = [node.name for node in model.graph.node if node.op_type == "Conv"]
    symmetric = {"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False}
    quantize_static(
        folder / "opset13.onnx",
        folder / "int8.onnx",
        _Calibration(detector(whole), pictures[:3]),
        per_channel=True,
        op_types_to_quantize=["Conv"],
        # The first see fine differences, the last coordinates and probabilities at once: too much for 8 bits.
        nodes_to_exclude=convolutions[:2] + convolutions[-24:],
        activation_type=QuantType.QInt8,
        weight_type=QuantType.QInt8,
        extra_options=symmetric,
    )
    return folder / "int8.onnx"


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_eight_bits_even_where_an_engine_gets_them_wrong(
    quantised: Path, pictures: list[NDArray[np.uint8]], expected: list[Detections], engine: str
) -> None:
    if engine == "openvino":
        pytest.importorskip("openvino")
    boxes = found(detector(quantised, engine=engine), pictures)
    again = [each for pair in zip(expected, boxes, strict=True) for each in found_again(*pair, 0.5, above=0.5)]
    assert np.mean(again) > 0.9
