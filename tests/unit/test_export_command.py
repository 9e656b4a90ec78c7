"""`streamer export` of ONNX files; that of checkpoints is in tests/training."""

import ast
import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from engines.onnx_file import read_onnx
from streamer.__main__ import main
from tests.unit.convolutions import convolutional
from tests.unit.labelled_pictures import labelled_pictures
from tests.unit.networks import constant_network

pytest.importorskip("pycocotools")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return convolutional(tmp_path / "m.onnx")


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return labelled_pictures(tmp_path / "set", ("train", "val"))


def export(model: Path, output: Path, *words: object) -> int:
    return main(["export", str(model), "--output", str(output), *map(str, words)])


def test_8_bits(model: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "int8.onnx"
    assert export(model, output, "--precision", "int8", "--calibrate", dataset, "--pictures", 3) == 0
    said = capsys.readouterr()
    assert "2 of 3 convolutions in 8 bits; left alone: last" in said.out
    assert f"{output}: int8, 0.0" in said.out
    assert f"A  {output}, onnxruntime" in said.out
    assert f"B  {model} in fp32, onnxruntime" in said.out
    assert "1 of 3 convolutions left alone: 0.0000 AP50 lost" in said.err
    file = read_onnx(output)
    assert file.precision == "int8 QDQ"
    assert file.metadata["names"] == read_onnx(model).metadata["names"]
    assert ast.literal_eval(file.metadata["args"])["int8"] is True


def test_16_bits(model: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "half.onnx"
    assert export(model, output, "--precision", "fp16", "--measure", dataset, "--limit", 3) == 0
    assert "3 pictures, 6 objects" in capsys.readouterr().out
    file = read_onnx(output)
    assert file.precision == "fp16"
    assert (file.inputs[0].dtype, file.outputs[0].dtype) == ("float32", "float32")
    picture = np.random.default_rng(0).random((1, 3, 64, 64), np.float32)
    answers = [
        onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, {"images": picture})[0]
        for path in (model, output)
    ]
    # Coordinates of up to 40 pixels would be off by .01 if they were in 16 bits.
    np.testing.assert_allclose(answers[1], answers[0], atol=1e-4)
    assert [each.data_type for each in onnx.load(output).graph.initializer if "first_w" in each.name] == [10]


def test_a_shipped_one_by_its_name_under_its_license_or_another(tmp_path: Path) -> None:
    output = tmp_path / "half.onnx"
    for words, said in ((), "CC-BY-4.0"), (("--license", "MIT"), "MIT"):
        assert export(Path("street"), output, "--precision", "fp16", *words) == 0
        assert read_onnx(output).metadata["license"] == said


def test_a_license_for_a_file_that_states_none(model: Path, tmp_path: Path) -> None:
    assert export(model, tmp_path / "half.onnx", "--precision", "fp16", "--license", "MIT") == 0
    found = read_onnx(tmp_path / "half.onnx").metadata
    assert found["license"] == "MIT"
    assert found["names"] == read_onnx(model).metadata["names"]


@pytest.mark.parametrize(("task", "measure"), [("detect", "--measure DATASET"), ("classify", "`streamer evaluate`")])
def test_without_pictures_nothing_is_measured_and_a_line_says_so(
    task: str, measure: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = convolutional(tmp_path / "m.onnx")
    content = onnx.load(model)
    onnx.helper.set_model_props(content, {"task": task})
    onnx.save(content, model)
    assert export(model, tmp_path / "half.onnx", "--precision", "fp16") == 0
    _, said = capsys.readouterr().out.splitlines()
    assert said == f"what was lost is not measured; {measure} does that"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["m.onnx"], "m.onnx is an ONNX file already; say --precision fp16 or int8"),
        (["m.onnx", "--precision", "int8"], "name some by --calibrate"),
        (["m.onnx", "--precision", "fp16", "--calibrate", "set"], "or say --measure"),
        (["m.onnx", "--precision", "fp16", "--size", "64"], "are for checkpoints; in m.onnx they are fixed"),
        (["m.onnx", "--precision", "fp16", "--batch", "2"], "are for checkpoints"),
        (
            ["m.onnx", "--precision", "int8", "--calibrate", "set", "--pictures", "0"],
            "--pictures is 0; give at least 1",
        ),
        (["m.onnx", "--precision", "int8", "--calibrate", "nowhere"], "nowhere: no such data set"),
        (["m.onnx", "--precision", "int8", "--calibrate", "set", "--split", "test"], "no data set with a split 'test'"),
        (
            ["m.onnx", "--precision", "int8", "--calibrate", "set/val.json"],
            "no other file beside it is called 'val'; what is measured on is named by --measure and --split",
        ),
        (
            ["m.onnx", "--precision", "int8", "--calibrate", "set", "--split", "test"],
            "what is measured on is named by --measure and --split",
        ),
        (["none.onnx", "--precision", "fp16"], "none.onnx: no such file"),
        (["bad.onnx", "--precision", "fp16"], "bad.onnx: this is not an ONNX file"),
        (["half.onnx", "--precision", "int8", "--calibrate", "set"], "half.onnx: it is in fp16 already"),
        (["m.onnx", "--precision", "fp16", "--output", "no/o.onnx"], "--output no/o.onnx: no such folder"),
        (["m.onnx", "--precision", "fp16", "--output", "set"], "--output set is a folder; name a file in it"),
        (["m.onnx", "--precision", "fp16", "--output", "m.onnx"], "--output m.onnx is MODEL itself"),
    ],
)
def test_mistakes(
    words: list[str],
    complaint: str,
    model: Path,
    dataset: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"\xff" * 100)
    if words[0] == "half.onnx":
        export(model, tmp_path / "half.onnx", "--precision", "fp16")
    monkeypatch.chdir(tmp_path)
    output = [] if "--output" in words else ["--output", "o.onnx"]
    assert main(["export", *words, *output]) == 2
    *_, last = capsys.readouterr().err.splitlines()
    assert last.startswith("streamer export: ")
    assert complaint in last
    assert not (tmp_path / "o.onnx").exists()


@pytest.mark.parametrize("objects", [[], [{"image_id": 0, "category_id": 0, "bbox": [1, 1, 9, 9], "iscrowd": 1}]])
def test_8_bits_without_objects_to_measure_by(
    objects: list[dict[str, object]], model: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = json.loads((dataset / "val.json").read_text())
    (dataset / "val.json").write_text(json.dumps(content | {"annotations": objects}))
    assert export(model, tmp_path / "o.onnx", "--precision", "int8", "--calibrate", dataset) == 2
    *problems, last = capsys.readouterr().err.splitlines()
    assert "no object of the model's classes in the pictures that are measured on" in last
    assert not any("lost" in line for line in problems)


def test_8_bits_are_not_for_classifiers(tmp_path: Path, dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = constant_network(tmp_path / "c.onnx", {"output0": np.ones((1, 2))}, (1, 3, 64, 64), {"task": "classify"})
    for words in ([], ["--calibrate", dataset]):
        assert export(path, tmp_path / "o.onnx", "--precision", "int8", *words) == 2
        said = capsys.readouterr().err
        assert said == f"streamer export: int8 is for detectors, and {path} is a classifier; fp16 is for both\n"


def test_a_loss_that_is_too_large(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = convolutional(tmp_path / "m.onnx")
    monkeypatch.setattr("engines.export.export.to_integers", _refuse)
    assert export(model, tmp_path / "o.onnx", "--precision", "int8", "--calibrate", dataset) == 2
    assert "8 bits cost" in capsys.readouterr().err
    assert not (tmp_path / "o.onnx").exists()


def _refuse(*_: object) -> None:
    from streamer.errors import ModelError

    raise ModelError("8 bits cost 0.5 AP50")


def test_without_onnx(model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "onnx" else sys.modules.get(name))
    assert export(model, model.with_name("o.onnx"), "--precision", "fp16") == 2
    said = "streamer export: export needs onnx: `pip install -e '.[export]'` in streamer's folder\n"
    assert capsys.readouterr().err == said
