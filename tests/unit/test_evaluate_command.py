"""`streamer evaluate`, on a small labelled set and networks that answer the same to every picture."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from streamer.__main__ import main
from tests.unit.labelled_pictures import CAT, DOG, in_network, labelled_pictures
from tests.unit.networks import constant_network, rows

pytest.importorskip("pycocotools")

NAMES = "{0: 'dog', 1: 'cat', 2: 'cow'}"  # not in the data set's order


def network(path: Path, objects: Sequence[Sequence[float]], names: str = NAMES) -> Path:
    answer = rows(*objects, count=84, width=4 + len(names.split(",")))
    return constant_network(path, {"output0": answer.transpose(0, 2, 1)}, ("n", 3, 64, 64), {"names": names})


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return network(tmp_path / "good.onnx", [(*in_network(*DOG), 0.9), (*in_network(*CAT), 0, 0.8)])


@pytest.fixture
def poor(tmp_path: Path) -> Path:
    return network(tmp_path / "poor.onnx", [(*in_network(*DOG), 0.9)])


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return labelled_pictures(tmp_path / "set")


def figures(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["evaluate", *map(str, words), "--json", "-"]) == 0
    content: dict[str, Any] = json.loads(capsys.readouterr().out)
    return content


def test_figures_for_programs(good: Path, dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = figures(capsys, good, dataset)
    assert found["AP50"] == pytest.approx(1)
    assert found["AP"] == pytest.approx(1)
    assert found["per_class"]["cat"] == {"AP50": pytest.approx(1), "AP": pytest.approx(1), "objects": 4}
    assert found["cpu_ms_per_picture"] > 0
    assert found["pictures"] == 4
    assert found["engine"].startswith("onnxruntime ")
    assert len(found["sha256"]) == 64
    assert found["notes"] == ["good.onnx: not labelled in these pictures, so left out: cow"]


def test_a_table_for_people(good: Path, dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(good), str(dataset)]) == 0
    said = capsys.readouterr()
    lines = [line.split() for line in said.out.splitlines()]
    assert ["cat", "4", "1.000", "1.000"] in lines
    assert ["mean", "8", "1.000", "1.000"] in lines
    assert any(line[:3] == ["CPU", "per", "picture:"] for line in lines)
    assert "4 pictures" in said.err


def test_two_side_by_side(good: Path, poor: Path, dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(good), str(dataset), "--compare", str(poor)]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["cat", "4", "1.000", "0.000", "+1.000", "1.000", "0.000", "+1.000"] in lines
    assert ["dog", "4", "1.000", "1.000", "+0.000", "1.000", "1.000", "+0.000"] in lines
    found = figures(capsys, good, dataset, "--compare", poor)
    assert (found["AP50"], found["compare"]["AP50"]) == pytest.approx((1, 0.5))
    assert found["compare"].keys() >= {"AP", "AP50", "per_class", "cpu_ms_per_picture"}


def test_a_class_that_the_model_lacks(tmp_path: Path, dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = network(tmp_path / "m.onnx", [(*in_network(*DOG), 0.9)], "['dog', 'cats']")
    found = figures(capsys, model, dataset)
    assert found["AP50"] == pytest.approx(0.5)
    assert found["notes"][0] == "m.onnx: it has no class 'cat' (but 'cats'): counted as never found"


@pytest.mark.parametrize(
    ("options", "pictures", "cats"),
    [
        ([], 4, 4),
        (["--limit", "3"], 3, 3),
        (["--limit", "9"], 4, 4),
        (["--sources", "street"], 2, 2),
        (["--sources", "street,yard"], 4, 4),
        (["--labelled", "yard=dog"], 4, 2),
    ],
)
def test_parts_of_a_data_set(
    options: list[str], pictures: int, cats: int, good: Path, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = figures(capsys, good, dataset, *options)
    assert (found["pictures"], found["per_class"]["cat"]["objects"]) == (pictures, cats)
    assert found["AP50"] == pytest.approx(1)


def test_a_picture_that_turns_out_damaged_is_left_out(
    good: Path, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = dataset / "images" / "val" / "1.png"
    whole = cv2.imencode(".png", np.zeros((96, 128, 3), np.uint8))[1].tobytes()
    path.write_bytes(whole[:40] + whole[-12:])  # begins and ends as it should
    content = (dataset / "val.json").read_text().replace("1.jpg", "1.png")
    (dataset / "val.json").write_text(content)
    found = figures(capsys, good, dataset)
    assert found["pictures"] == 3
    assert found["AP50"] == pytest.approx(1)
    assert any("1.png" in note and note.endswith("left out") for note in found["notes"])


def test_json_into_a_file(good: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(good), str(dataset), "--json", str(tmp_path / "f.json")]) == 0
    assert "mean" in capsys.readouterr().out
    assert json.loads((tmp_path / "f.json").read_text())["AP50"] == pytest.approx(1)


def test_what_can_not_be_written_is_shown(good: Path, dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(good), str(dataset), "--json", "/dev/full"]) == 2
    said = capsys.readouterr()
    assert "mean" in said.out
    assert said.err.splitlines()[-1].startswith("streamer evaluate: --json /dev/full: can't be written: No space")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["none.onnx", "set"], "none.onnx: no such file"),
        (["good.onnx", "nowhere"], "nowhere: no such data set"),
        (["good.onnx", "set", "--split", "test"], "no data set with a split 'test'"),
        (["good.onnx", "set", "--engine", "abacus"], "no engine is called 'abacus'"),
        (["good.onnx", "set", "--limit", "0"], "--limit is 0; give at least 1"),
        (["good.onnx", "set", "--threads", "-1"], "--threads is -1; give at least 1"),
        (["good.onnx", "set", "--sources", "moon"], "no picture is from source 'moon'; the data set has: street, yard"),
        (["good.onnx", "set", "--labelled", "yard"], "--labelled yard: write SOURCE=CLASS"),
        (["good.onnx", "set", "--labelled", "yard=horse"], "no class 'horse'; there are cat, dog"),
        (["good.onnx", "set", "--compare-engine", "openvino"], "name that too"),
        (["good.onnx", "set", "--compare", "none.onnx"], "none.onnx: no such file"),
        (["good.onnx", "set", "--json", "no/f.json"], "--json no/f.json: no such folder"),
        (["good.onnx", "set", "--json", "set"], "--json set is a folder; name a file in it"),
        (["foreign.onnx", "set"], "foreign.onnx finds fox, owl and the pictures are labelled for cat, dog: no class"),
    ],
)
def test_mistakes(
    words: list[str],
    complaint: str,
    good: Path,
    dataset: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network(tmp_path / "foreign.onnx", [], "['fox', 'owl']")
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", *words]) == 2
    *_, last = capsys.readouterr().err.splitlines()
    assert last.startswith("streamer evaluate: ")
    assert complaint in last


def test_without_pycocotools(
    good: Path, dataset: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pycocotools.coco", None)
    assert main(["evaluate", str(good), str(dataset)]) == 2
    said = "streamer evaluate: evaluation needs pycocotools: `pip install -e '.[evaluate]'` in streamer's folder"
    assert said in capsys.readouterr().err.splitlines()
