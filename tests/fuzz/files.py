"""Files: models, engines, checkpoints, pictures, labelled data."""

import hashlib
import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import orjson
from hypothesis import strategies as st

from engines.detector import open_detector
from engines.model import class_names, input_spec
from engines.onnx_file import read_onnx
from engines.tensorrt.plan_file import Plan, PlanKey, Unusable, read_header, read_plan, write_plan
from engines.training.dataset import read_dataset
from engines.training.picture_file import PictureError, PictureFile
from streamer.errors import ModelError, UsageError
from streamer.settings import DetectSettings
from streamer.stack.state import State, read_state
from tests.fuzz.near import bytes_near, json_near, values_near
from tests.fuzz.target import Target
from tests.unit.networks import constant_network

Read = Callable[[Path], object]


def in_a_file(name: str, read: Read) -> Callable[[bytes], None]:
    """Reads a file that has such a name and the content given."""

    def reading(content: bytes) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, name)
            path.write_bytes(content)
            read(path)

    return reading


@cache
def network() -> bytes:
    """A small detector."""
    boxes = np.zeros((1, 6, 84), np.float32)
    names = {"names": "{0: 'a', 1: 'b'}", "imgsz": "[64, 64]", "stride": "8", "task": "detect"}
    with tempfile.TemporaryDirectory() as folder:
        return constant_network(Path(folder, "m.onnx"), {"output0": boxes}, metadata=names).read_bytes()


def read_model_file(path: Path) -> None:
    """What a model file says of itself."""
    file = read_onnx(path)
    input_spec(file)
    class_names(file)
    assert file.precision
    assert file.foreign_operators is not None


def open_model(path: Path) -> None:
    """A model file, up to its first inference."""
    open_detector(DetectSettings(model=str(path)), threads=1).engine.close()


KEY = PlanKey("ab" * 32, 1, "tensorrt", "10.9.0", "H200 sm_90", "fp16", (3, 64, 64), (1, 4, 8), {"effort": 3})
PLAN = write_plan(KEY, Plan(b"machine code" * 20, "yolov8", ("cast to fp16",), "m.onnx", 12.5, 1_700_000_000.0))
HEADER = PLAN.split(b"\n")[1]


def read_engine(content: bytes) -> None:
    """An engine file: what is read is what was written."""
    read_header(content, len(content))
    assert read_plan(content, KEY).content == b"machine code" * 20


def _plan(header: bytes) -> bytes:
    return PLAN.replace(HEADER, header)


@cache
def pictures() -> list[bytes]:
    """A picture in some formats."""
    picture = np.random.default_rng(1).integers(0, 256, (24, 32, 3), np.uint8)
    return [bytes(cv2.imencode(suffix, picture)[1]) for suffix in (".jpg", ".png", ".bmp", ".webp", ".tif")]


def read_picture(path: Path) -> None:
    """A picture of a data set."""
    width, height = PictureFile(path).size()
    if width * height < 1_000_000:
        PictureFile(path).pixels()


COCO: dict[str, Any] = {
    "images": [{"id": 1, "file_name": "a.jpg", "width": 32, "height": 24, "source": "street"}],
    "categories": [{"id": 3, "name": "person"}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 3, "bbox": [1, 2, 10, 12], "iscrowd": 0, "pseudo": 0.5}],
}
PACKED: dict[str, Any] = {
    "format": 1,
    "splits": {
        "train": {
            "names": ["person"],
            "labelled": {"street": [0]},
            "pieces": [{"name": "train-000.part", "sha256": hashlib.sha256(pictures()[0]).hexdigest()}],
            "pictures": [
                {
                    "piece": 0,
                    "offset": 0,
                    "length": len(pictures()[0]),
                    "number": 1,
                    "size": [32, 24],
                    "source": "street",
                    "classes": [0],
                    "boxes": [[1, 2, 10, 12]],
                    "scores": [1.0],
                    "crowd": [False],
                }
            ],
        }
    },
}
YAML = b"# street\npath: .\ntrain: images/train\nval: [images/val]\nnames:\n  0: person\n  1: 'car'\n"
LABELS = b"0 0.5 0.5 0.25 0.25\n1 0.1 0.1 0.2 0.2 0.9\n0 0.1 0.1 0.2 0.1 0.2 0.2\n"


def read_data(files: dict[str, bytes]) -> None:
    """A data set of a few files."""
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        data = read_dataset(Path(folder), "train")
        for picture in data.pictures:
            assert np.isfinite(picture.boxes).all()
            assert len(picture.boxes) == len(picture.classes) == len(picture.scores) == len(picture.crowd)
            assert (picture.classes < len(data.names)).all()
        assert not [line for line in data.problems if "\n" in line]


cv2.utils.logging.setLogLevel(0)  # OpenCV prints what is wrong with a picture


def _coco(index: bytes) -> dict[str, bytes]:
    return {"train.json": index, "a.jpg": pictures()[0]}


def _packed(index: bytes) -> dict[str, bytes]:
    return {"pack.json": index, "train-000.part": pictures()[0]}


def _yolo(yaml: bytes | None, labels: bytes) -> dict[str, bytes]:
    files = {"images/train/a.jpg": pictures()[0], "labels/train/a.txt": labels}
    return files if yaml is None else files | {"data.yaml": yaml}


def _near(sample: dict[str, Any]) -> st.SearchStrategy[bytes]:
    return values_near([sample]).map(lambda value: json.dumps(value).encode())


STATE = orjson.dumps(asdict(State("ready", 1, 2, 3, 1.5, "", {"kafka": 7})))
UNFINISHED = b'{"format": 1, "splits": {"train": {}}}'
NO_NAME = orjson.dumps(COCO | {"images": [COCO["images"][0] | {"file_name": "a\0\n"}]})
yolo = st.builds(_yolo, st.none() | bytes_near([YAML]), bytes_near([LABELS]))
TARGETS = (
    Target("model file", bytes_near([network()]), in_a_file("m.onnx", read_model_file), (ModelError,)),
    Target("model", bytes_near([network()]), in_a_file("m.onnx", open_model), (ModelError,), examples=30),
    Target("engine file", bytes_near([PLAN]) | _near(json.loads(HEADER)).map(_plan), read_engine, (Unusable,)),
    Target("pictures", bytes_near(pictures()), in_a_file("a.jpg", read_picture), (PictureError,)),
    Target("COCO", _near(COCO).map(_coco), read_data, (UsageError,), [_coco(NO_NAME)]),
    Target("packed data", _near(PACKED).map(_packed), read_data, (UsageError,), [_packed(UNFINISHED)]),
    Target("YOLO", yolo, read_data, (UsageError,), [_yolo(None, b"1e9 0.5 0.5 0.1 0.1")]),
    Target("stack's state", json_near([STATE]), in_a_file("state.json", read_state), ()),
)
