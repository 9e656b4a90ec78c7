"""Classifiers through the commands: learnt from folders, gone on with after a stop, exported, measured."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from engines.classifier import open_classifier, stretched
from engines.detector import open_detector
from engines.training.classify.augment import Change, changed
from engines.training.classify.checkpoint import load_classifier
from engines.training.classify.folders import learnt_and_measured, read_split
from engines.training.classify.start import first_classifier
from engines.training.classify.trainer import SMOOTHING, classifier_loss
from streamer.__main__ import main
from streamer.errors import ModelError
from streamer.settings import DetectSettings

QUICK = ("--task", "classify", "--sizes", "32", "--batch", "8", "--threads", "1", "--device", "cpu", "--epochs", "4")
COLOURS = {"blue": (200, 40, 40), "green": (40, 200, 40), "red": (40, 40, 200)}


def paint(folder: Path, counts: dict[str, dict[str, int]], seed: int = 0) -> Path:
    """Writes split/class/*.png: counts[split][class] pictures, each of its class's colour, roughly."""
    random = np.random.default_rng(seed)
    for split, classes in counts.items():
        for name, count in classes.items():
            home = folder / split / name
            home.mkdir(parents=True)
            for number in range(count):
                noise = random.integers(-30, 30, (20, 28, 3))
                pixels = np.clip(np.array(COLOURS[name]) + noise, 0, 255).astype(np.uint8)
                assert cv2.imwrite(str(home / f"{number}.png"), pixels)
    return folder


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    each = dict.fromkeys(COLOURS, 8)
    return paint(tmp_path_factory.mktemp("crops"), {"train": each, "val": dict.fromkeys(COLOURS, 3)})


def train(crops: Path, output: Path, *more: str) -> int:
    return main(["train", str(crops), "--output", str(output), *QUICK, *more])


@pytest.fixture(scope="module")
def learnt(crops: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("learnt")
    assert train(crops, output, "--epochs", "10", "--validate-every", "5") == 0
    return output


@pytest.fixture(scope="module")
def exported(learnt: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("exported") / "kinds.onnx"
    assert main(["export", str(learnt / "best.pt"), "--output", str(file), "--batch", "0"]) == 0
    return file


def figures(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["evaluate", *map(str, words), "--json", "-"]) == 0
    content: dict[str, Any] = json.loads(capsys.readouterr().out)
    return content


def test_colours_are_learnt(learnt: Path) -> None:
    checkpoint = load_classifier(learnt / "last.pt")
    assert checkpoint.names == ("blue", "green", "red")
    assert checkpoint.training is not None
    history = checkpoint.training["history"]
    assert history[-1]["accuracy"] == 1
    assert history[-1]["loss"] < history[0]["loss"]
    page = (learnt / "report" / "report.md").read_text(encoding="utf-8")
    assert "## Accuracy: 1.000" in page
    assert "| green | 0 | 3 | 0 |" in page


def test_a_training_that_was_stopped_ends_as_if_it_had_not_been(crops: Path, tmp_path: Path) -> None:
    for name, more in (("whole", ()), ("parts", ("--max-minutes", "1e-9")), ("parts", ())):
        assert train(crops, tmp_path / name, *more) == 0
    whole, parts = (load_classifier(tmp_path / name / "last.pt").weights for name in ("whole", "parts"))
    assert all(torch.allclose(whole[key], parts[key], atol=1e-5) for key in whole)


def test_other_classes_can_be_learnt_from_there(learnt: Path, crops: Path, tmp_path: Path) -> None:
    two = paint(tmp_path / "two", {"train": {"blue": 4, "red": 4}})
    assert train(two, tmp_path / "out", "--init", str(learnt / "best.pt"), "--epochs", "1", "--no-flip") == 0
    start, found = load_classifier(learnt / "best.pt"), load_classifier(tmp_path / "out" / "last.pt")
    assert found.names == ("blue", "red")
    kernel = "stages.0.0.weight"
    assert (start.weights[kernel] - found.weights[kernel]).abs().max() < 0.02


@pytest.mark.parametrize("names", [("blue", "green", "red"), ("red", "blue"), ("yellow", "green"), ("yellow",)])
def test_classes_are_taken_over_by_their_names(learnt: Path, names: tuple[str, ...]) -> None:
    start, found = load_classifier(learnt / "best.pt"), first_classifier(learnt / "best.pt", names).state_dict()
    for key in ("dense.weight", "dense.bias"):
        assert len(found[key]) == len(names)
        for row, name in zip(found[key], names, strict=True):
            known = [torch.equal(row, before) for before in start.weights[key]]
            assert known == [name == before for before in start.names]
    rest = [key for key in found if not key.startswith("dense.")]
    assert all(torch.equal(found[key], start.weights[key]) for key in rest)


def test_what_is_exported_answers_as_the_network(learnt: Path, exported: Path) -> None:
    network = load_classifier(learnt / "best.pt").network()
    classifier = open_classifier(exported, "onnxruntime", batch=2)
    given = np.random.default_rng(5).random((2, 3, 32, 32), np.float32)
    wanted = network.probabilities(torch.from_numpy(given)).numpy()
    np.testing.assert_allclose(classifier.probabilities(given), wanted, atol=1e-5)
    assert classifier.names == ("blue", "green", "red")
    assert (classifier.file.metadata["task"], classifier.file.metadata["imgsz"]) == ("classify", "[32, 32]")
    classifier.close()


def test_it_is_measured_through_the_engine(
    exported: Path, crops: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = figures(capsys, exported, crops)
    assert (found["top1"], found["pictures"]) == (1, 9)
    assert found["confusion"] == [[3, 0, 0, 0], [0, 3, 0, 0], [0, 0, 3, 0]]
    assert found["per_class"]["red"] == {"recall": 1, "precision": 1, "pictures": 3}
    assert found["cpu_ms_per_picture"] > 0
    assert figures(capsys, exported, crops, "--limit", "2")["pictures"] == 2
    assert main(["evaluate", str(exported), str(crops)]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["green", "3", "1.000", "1.000"] in lines
    assert ["accuracy:", "1.000"] in lines


def test_folders_of_other_classes(exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = paint(tmp_path, {"val": {"red": 2, "blue": 1}})
    (folder / "val" / "blue").rename(folder / "val" / "sky")
    found = figures(capsys, exported, folder)
    assert found["confusion"] == [[2, 0, 0], [0, 0, 1]]
    assert found["notes"] == ["class 'sky' is not one of the model's: its pictures count as mistaken"]


@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        (lambda folder: (folder / "train" / "red" / "bad.png").write_bytes(b"none"), "bad.png is no picture"),
        (lambda folder: (folder / "train" / "empty").mkdir(), "class 'empty': no picture of it: left out"),
        (lambda folder: (folder / "train" / "red" / "list.txt").write_text("x"), "1 files are no pictures"),
        (lambda folder: (folder / "train" / "notes").write_text("x"), "1 files outside of the classes' folders"),
        (
            lambda folder: (folder / "train" / "red" / "0.png").rename(_deeper(folder)),
            "1 pictures in folders within it",
        ),
    ],
    ids=["broken picture", "no picture", "no suffix", "no class", "deeper"],
)
def test_what_is_odd_is_told_and_training_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], spoil: Callable[[Path], object], line: str
) -> None:
    folder = paint(tmp_path / "crops", {"train": {"blue": 4, "red": 4}, "val": {"blue": 1, "red": 1}})
    spoil(folder)
    assert train(folder, tmp_path / "out", "--epochs", "1") == 0
    assert line in capsys.readouterr().err
    assert load_classifier(tmp_path / "out" / "best.pt").names == ("blue", "red")


def _deeper(folder: Path) -> Path:
    (folder / "train" / "red" / "more").mkdir()
    return folder / "train" / "red" / "more" / "0.png"


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (("--sizes", "32,64"), "--sizes 32,64: a classifier has one size"),
        (("--mosaic", "0"), "--mosaic is for detectors"),
        (("--teacher", "big.onnx"), "--teacher is for detectors"),
        (("--untaught", "drawn"), "--untaught is for detectors"),
        (("--split", "nothing"), "No such file or directory; put pictures into"),
        (("--init", "street"), "not of a classifier"),
    ],
)
def test_mistakes_are_told_in_a_line(
    crops: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], line: str
) -> None:
    assert train(crops, tmp_path, *more) == 2
    assert line in capsys.readouterr().err


def test_one_class_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(paint(tmp_path, {"train": {"red": 3}}), tmp_path / "out") == 2
    assert "pictures of two classes are needed at least, there are only of 'red'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("evaluate", "{onnx}", "{crops}", "--compare", "street"), "--compare is for detectors"),
        (("evaluate", "street", "{crops}"), "no data set with a split 'val'"),
        (("export", "{best}", "--output", "{out}", "--measure", "{crops}"), "--measure is for detectors"),
        (("train", "{crops}", "--init", "{best}", "--output", "{out}", "--device", "cpu"), "no data set with a split"),
    ],
)
def test_a_classifier_is_not_taken_for_a_detector(
    crops: Path, learnt: Path, exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...], line: str,
) -> None:  # fmt: skip
    places = {"crops": crops, "best": learnt / "best.pt", "onnx": exported, "out": tmp_path / "out.onnx"}
    assert main([word.format(**places) for word in words]) == 2
    assert line in capsys.readouterr().err


def test_the_service_wants_a_detector(exported: Path) -> None:
    with pytest.raises(ModelError, match="it looks like a classifier, and a detector is needed"):
        open_detector(DetectSettings(model=str(exported)), threads=1)


def test_a_fifth_is_put_aside_where_there_is_no_folder_to_measure_on(tmp_path: Path) -> None:
    folder = paint(tmp_path, {"train": dict.fromkeys(COLOURS, 20)})
    learnt, measured = learnt_and_measured(folder, "train", "val")
    assert 4 <= len(measured.files) <= 22
    assert len(learnt.files) + len(measured.files) == 60
    assert not set(learnt.files) & set(measured.files)
    assert learnt_and_measured(folder, "train", "val") == (learnt, measured)
    assert read_split(folder, "val") == measured
    assert "a fifth of the pictures is measured on" in learnt.problems[0]


def test_the_loss_is_the_cross_entropy_of_smoothed_labels() -> None:
    logits = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 0.5]])
    p = torch.softmax(logits, 1).double().numpy()
    q = np.full((2, 3), SMOOTHING / 3)
    q[0, 0] += 1 - SMOOTHING
    q[1, 2] += 1 - SMOOTHING
    wanted = -(q * np.log(p)).sum(1).mean()
    assert classifier_loss(logits, torch.tensor([0, 2])).item() == pytest.approx(wanted, rel=1e-5)


def test_pictures_are_changed_by_lot_and_alike_for_the_same_lot() -> None:
    pictures = torch.from_numpy(np.random.default_rng(1).integers(0, 255, (4, 3, 16, 16), np.uint8))
    first, again, other = (changed(pictures, np.random.default_rng(seed), Change()) for seed in (1, 1, 2))
    torch.testing.assert_close(first, again)
    assert not torch.allclose(first, other)
    assert first.min() >= 0
    assert first.max() <= 1
    still = changed(pictures, np.random.default_rng(1), Change(0, 0, 0, 0, 0, 0, 0))
    torch.testing.assert_close(still, pictures / 255)


def test_a_crop_is_stretched_to_the_input() -> None:
    crop = np.zeros((10, 40, 3), np.uint8)
    crop[:, 20:] = 200
    into = np.empty((3, 32, 32), np.float32)
    stretched(crop, into, 1 / 255)
    assert into[:, :, :15].max() == 0
    assert into[:, :, 17:].min() == pytest.approx(200 / 255)
