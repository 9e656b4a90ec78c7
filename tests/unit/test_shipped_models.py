"""The shipped detectors are small, and say of themselves what Ultralytics and other readers look for."""

import ast
from datetime import datetime
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from engines.export.metadata import metadata
from engines.models import CONFIDENCE, STREET, STREET_INT8, STREET_WEIGHTS, STREET_WIDE, STREET_WIDE_INT8
from engines.onnx_file import read_onnx
from streamer.models import model_path
from streamer.settings import DetectSettings

LARGEST = 5_000_000  # bytes
NAMES = ("person", "car", "motorcycle", "bus", "truck")
STRIDES = (8, 16, 32)
ULTRALYTICS = {
    "description", "author", "date", "version", "license", "docs", "stride", "task", "batch", "imgsz", "names", "args",
    "channels", "end2end",
}  # fmt: skip
"""The keys that ultralytics/engine/exporter.py writes into every detector."""
SHIPPED = {
    "street": (STREET, "fp32", (288, 288)),
    "street-int8": (STREET_INT8, "int8 QDQ", (288, 288)),
    "street-wide": (STREET_WIDE, "fp32", (384, 224)),
    "street-wide-int8": (STREET_WIDE_INT8, "int8 QDQ", (384, 224)),
}
shipped = pytest.mark.parametrize("path", [path for path, _, _ in SHIPPED.values()], ids=lambda path: path.stem)


@pytest.mark.parametrize(
    "path", [STREET_WEIGHTS, *(path for path, _, _ in SHIPPED.values())], ids=lambda path: path.name
)
def test_no_file_is_large(path: Path) -> None:
    assert 100_000 < path.stat().st_size <= LARGEST


@pytest.mark.parametrize("name", SHIPPED)
def test_they_are_found_by_name(name: str) -> None:
    path, precision, (width, height) = SHIPPED[name]
    assert model_path(name) == path
    file = read_onnx(path)
    assert file.precision == precision
    assert list(file.inputs[0].shape[2:]) == [height, width]


def test_the_one_for_cameras_is_meant_where_none_is_named() -> None:
    assert model_path(DetectSettings().model) == STREET_WIDE


@shipped
def test_they_say_what_ultralytics_files_say(path: Path) -> None:
    file = read_onnx(path)
    said = file.metadata
    [image] = file.inputs
    assert said.keys() >= ULTRALYTICS
    assert (said["task"], said["stride"], said["batch"], said["channels"]) == ("detect", "32", "1", "3")
    assert float(said["iou"]) == 0.5
    assert float(said["confidence"]) == CONFIDENCE
    assert (said["end2end"], said["license"]) == ("False", "CC-BY-4.0")
    assert ast.literal_eval(said["names"]) == dict(enumerate(NAMES))
    assert ast.literal_eval(said["imgsz"]) == list(image.shape[2:])
    wanted = {
        "batch": 1,
        "dynamic": False,
        "half": False,
        "int8": path in (STREET_INT8, STREET_WIDE_INT8),
        "nms": False,
    }
    assert ast.literal_eval(said["args"]) == wanted
    assert datetime.fromisoformat(said["date"]).tzinfo


@shipped
def test_they_take_any_number_of_pictures_and_answer_as_yolov8_does(path: Path) -> None:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    [image], [answer] = session.get_inputs(), session.get_outputs()
    open_number, channels, height, width = image.shape
    assert (image.name, answer.name, channels) == ("images", "output0", 3)
    # A name there would tell Ultralytics that height and width are open, too.
    assert open_number is answer.shape[0] is None
    cells = sum((height // stride) * (width // stride) for stride in STRIDES)
    assert answer.shape[1:] == [4 + len(NAMES), cells]
    [found] = session.run(None, {"images": np.zeros((2, 3, height, width), np.float32)})
    assert found.shape == (2, 4 + len(NAMES), cells)


@pytest.mark.parametrize(("batch", "said"), [(1, 1), (4, 4), (0, 1)])
def test_metadata_of_an_export(batch: int, said: int) -> None:
    found = metadata(("a", "b"), (96, 96), batch)
    assert found.keys() == ULTRALYTICS
    assert (found["batch"], found["license"]) == (str(said), "not stated")
    assert ast.literal_eval(found["args"]) == {
        "batch": said,
        "dynamic": False,
        "half": False,
        "int8": False,
        "nms": False,
    }
