"""`streamer model inspect`."""

import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from consumers.replay.finder import open_finder
from streamer.__main__ import main
from streamer.settings import DetectSettings
from tests.unit.networks import constant_network, rows

METADATA = {"names": "{0: 'cat', 1: 'dog'}", "stride": "32"}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    table = rows((32, 32, 16, 16, 0.9, 0), count=84, width=6)
    return constant_network(tmp_path / "m.onnx", {"output0": table.transpose(0, 2, 1)}, ("n", 3, 64, 64), METADATA)


def test_says_what_it_is(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "inspect", str(model)]) == 0
    said = {line[:10].strip(): line[11:] for line in capsys.readouterr().out.splitlines()}
    assert said["file"].startswith(f"{model}, 0.0 MB")
    assert said["sha256"] == hashlib.sha256(model.read_bytes()).hexdigest()
    assert said["made by"] == "tests"
    assert said["opset"] == "ai.onnx 13"
    assert said["precision"] == "fp32, 5 operators"
    assert said["input"] == "images float32 nx3x64x64"
    assert said["outputs"] == "output0 float32 nx6x84"
    assert said["pictures"] == "64x64 RGB 0..1, padding centre"
    assert said["batch"] == "any number, here 1 per inference"
    assert said["head"] == "yolov8: 84 columns are one box each: 4 coordinates and 2 classes, no objectness"
    assert said["NMS"] == "of one class's boxes that overlap by more than 0.6"
    assert said["classes"] == "2 (named in the file): cat, dog"
    assert said["cost"].split(" ms CPU")[0].replace(".", "").isdigit()


def test_json(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "inspect", str(model), "--json", "--padding", "top-left", "--head", "yolov8"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["classes"] == ["cat", "dog"]
    assert said["picture"] == {"width": 64, "height": 64, "colour": "RGB", "range": [0, 1], "padding": "top-left"}
    assert said["iou"] == 0.6
    assert said["confidence"] == 0.25
    assert (said["head"], said["head_because"]) == ("yolov8", "the settings say so")
    assert said["inputs"] == [{"name": "images", "dtype": "float32", "shape": ["n", 3, 64, 64]}]
    assert said["cpu_ms_per_picture"] >= 0


@pytest.mark.parametrize("head", ["end2end", "rtdetr"])
@pytest.mark.parametrize(
    ("agnostic", "iou", "said"),
    [("false", None, "none needed"), ("true", 0.6, "of boxes of any classes that overlap by more than 0.6")],
)
def test_nms_of_networks_that_give_each_object_one_box(
    head: str,
    agnostic: str,
    iou: float | None,
    said: str,
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("STREAMER_DETECT__AGNOSTIC_NMS", agnostic)
    scale = 64 if head == "end2end" else 1
    answer = rows((0.2 * scale, 0.2 * scale, 0.4 * scale, 0.4 * scale, 0.9, 0), count=300, width=6)
    constant_network(model, {"output0": answer}, ("n", 3, 64, 64), METADATA)
    command = ["model", "inspect", str(model), "--head", head]
    assert main(command) == 0
    assert f"NMS        {said}\n" in capsys.readouterr().out
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["iou"] == iou
    finder = open_finder(DetectSettings(model=str(model), head=head, agnostic_nms=agnostic == "true"))
    assert finder.to_json()["iou"] == iou
    finder.close()


def test_nms_in_the_file(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    constant_network(model, {"output0": rows((9, 9, 40, 40, 0.9, 0), count=30, width=6)}, ("n", 3, 64, 64), METADATA)
    network = onnx.load(model)
    shapes = {"boxes": (1, 0, 4), "scores": (1, 0, 0)}
    network.graph.initializer.extend(
        helper.make_tensor(name, TensorProto.FLOAT, shape, []) for name, shape in shapes.items()
    )
    network.graph.node.append(helper.make_node("NonMaxSuppression", [*shapes], ["chosen"]))
    onnx.save(network, model)
    assert main(["model", "inspect", str(model)]) == 0
    assert "NMS        in the file\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "arguments", "words"),
    [
        (None, [], "no such file"),
        (b"", [], "the file is empty"),
        (b"\xff\xd8\xff\xe0", [], "not an ONNX"),
        ("cut", [], "damaged"),
        ("whole", ["--head", "rtdetr2"], "no head is called 'rtdetr2'"),
        ("whole", ["--head", "fastestdet"], "head fastestdet can't read outputs 1x6x84"),
        ("whole", ["--engine", "tflite"], "no engine is called 'tflite'"),
        ("classifier", [], "looks like a classifier"),
    ],
)
def test_one_line_and_status_2(
    model: Path, capsys: pytest.CaptureFixture[str], content: str | bytes | None, arguments: list[str], words: str
) -> None:
    whole = model.read_bytes()
    if content is None:
        model.unlink()
    elif isinstance(content, bytes):
        model.write_bytes(content)
    elif content == "cut":
        model.write_bytes(whole[: len(whole) // 2])
    elif content == "classifier":
        constant_network(model, {"o": np.zeros((1, 1000), np.float32)})
    assert main(["model", "inspect", str(model), *arguments]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert words in error


def test_settings_for_another_model_do_not_matter(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STREAMER_DETECT__CLASSES", "person")
    monkeypatch.setenv("STREAMER_DETECT__MODEL", "/none.onnx")
    assert main(["model", "inspect", str(model)]) == 0
    assert "cat, dog" in capsys.readouterr().out
