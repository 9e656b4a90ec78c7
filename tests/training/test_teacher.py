"""Soft labels from a teacher: in the pictures that lack labels, for the classes that they lack, and found once."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engines.detections import Detections
from engines.training.dataset import Dataset, Picture, read_dataset
from engines.training.stopping import Stopped
from engines.training.teacher import Teacher, softened, widened, without_pseudo
from streamer.__main__ import main
from streamer.errors import UsageError
from tests.training.drawn import draw
from tests.unit.networks import constant_network, rows

FOUND = Detections(
    np.array([[1, 1, 9, 9], [20, 20, 40, 40]], np.float32), np.array([0.9, 0.2], np.float32), np.array([0, 1])
)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Pictures of source a with a box each, whose discs nobody has labelled, and of source b, where all is."""
    found = read_dataset(draw(tmp_path, train=4, val=1), "train")
    return replace(found, labelled={"a": frozenset({0})})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Finds a disc of .3 and a cat of .8 in every picture of 64 pixels; which class is which differs from the data."""
    answer = rows((32, 32, 20, 20, 0.3, 0), (10, 10, 10, 10, 0, 0.8), count=84, width=6).transpose(0, 2, 1)
    metadata = {"names": "['disc', 'cat']", "head": "yolov8"}
    return constant_network(tmp_path / "t.onnx", {"output0": np.ascontiguousarray(answer)}, metadata=metadata)


def labels(picture: Picture) -> list[tuple[int, float]]:
    return [(int(kind), round(float(score), 2)) for kind, score in zip(picture.classes, picture.scores, strict=True)]


@pytest.mark.parametrize(
    ("scores", "known", "wanted"),
    [
        ([1.0, 1.0], {0}, [(0, 1.0), (1, 1.0), (1, 0.2)]),
        ([1.0, 0.6], {0}, [(0, 1.0), (1, 0.2)]),
        ([1.0, 0.6], set(), [(0, 1.0), (0, 0.9), (1, 0.2)]),
        ([0.6, 1.0], {0, 1}, [(0, 0.6), (1, 1.0)]),
    ],
    ids=["labels stay", "another teacher's go", "nothing is known", "all is known"],
)
def test_soft_labels(dataset: Dataset, scores: list[float], known: set[int], wanted: list[tuple[int, float]]) -> None:
    picture = replace(
        dataset.pictures[0],
        boxes=np.ones((2, 4), np.float32),
        classes=np.array([0, 1]),
        scores=np.array(scores, np.float32),
        crowd=np.zeros(2, np.bool_),
    )
    assert labels(softened(picture, FOUND, frozenset(known))) == wanted


def test_a_teacher_is_asked_once_about_what_is_not_labelled(dataset: Dataset, file: Path, tmp_path: Path) -> None:
    asked: list[tuple[int, int]] = []
    first = Teacher(file, tmp_path, 1).taught(dataset, lambda done, of: asked.append((done, of)))
    assert asked == [(1, 2), (2, 2)]
    assert [labels(each) for each in first.pictures] == [[(0, 1.0), (1, 0.3)], [(1, 1.0)]] * 2
    np.testing.assert_allclose(first.pictures[0].boxes[1], [22, 22, 42, 42], atol=0.5)
    again = Teacher(file, tmp_path, 1).taught(dataset, lambda done, of: pytest.fail("asked again"))
    assert [labels(each) for each in again.pictures] == [labels(each) for each in first.pictures]


def test_other_pictures_are_asked_about_though_as_many(dataset: Dataset, file: Path, tmp_path: Path) -> None:
    def asked(about: Dataset) -> int:
        count: list[int] = []
        Teacher(file, tmp_path, 1).taught(about, lambda done, of: count.append(done))
        return len(count)

    other = read_dataset(draw(tmp_path / "other", train=4, val=1, seed=1), "train")
    other = replace(other, labelled=dataset.labelled)
    assert [asked(dataset), asked(other), asked(dataset), asked(other)] == [2, 2, 0, 0]
    first, second = (each.path for each in other.pictures if each.source == "a")
    first.write_bytes(second.read_bytes())
    assert asked(other) == 2


def test_a_teacher_that_was_stopped_goes_on_from_there(dataset: Dataset, file: Path, tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    whole = Teacher(file, tmp_path / "whole", 1).taught(dataset, lambda done, of: None)
    asked: list[tuple[int, int]] = []
    with pytest.raises(Stopped):
        Teacher(file, tmp_path, 1, lambda: True).taught(dataset, lambda *told: asked.append(told))
    again = Teacher(file, tmp_path, 1, lambda: True).taught(dataset, lambda *told: asked.append(told))
    assert asked == [(1, 2), (2, 2)]
    assert [labels(each) for each in again.pictures] == [labels(each) for each in whole.pictures]
    assert len([*tmp_path.glob("teacher-*")]) == 1


def test_a_kill_costs_what_was_found_since_a_minute(
    dataset: Dataset, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(done: int, of: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("engines.training.teacher._SAVE_S", 0.0)
    with pytest.raises(KeyboardInterrupt):
        Teacher(file, tmp_path, 1).taught(dataset, killed)
    asked: list[tuple[int, int]] = []
    Teacher(file, tmp_path, 1).taught(dataset, lambda *told: asked.append(told))
    assert asked == [(2, 2)]


def test_classes_are_compared_before_anything_is_asked(dataset: Dataset, file: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has none of the classes box, circle"):
        Teacher(file, tmp_path, 1).taught(replace(dataset, names=("box", "circle")), lambda *_: pytest.fail("asked"))


def test_a_training_s_time_is_up_while_its_teacher_looks(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("engines.training.progress.EVERY_S", -1.0)
    words = ["train", str(draw(tmp_path / "data", train=4, val=1)), "--output", str(tmp_path / "out"), "--epochs", "1"]
    words += ["--sizes", "64", "--batch", "4", "--threads", "1", "--device", "cpu", "--val", "none"]
    words += ["--labelled", "a=box", "--teacher", str(file)]
    assert main([*words, "--max-minutes", "1e-9"]) == 0
    assert not (tmp_path / "out" / "last.pt").exists()
    told = capsys.readouterr().err
    assert "teacher: 1 of 2 pictures, less than a minute left\n" in told
    assert told.endswith("time is up; the same command goes on from here\n")
    assert main(words) == 0
    assert (tmp_path / "out" / "last.pt").exists()
    told = capsys.readouterr().err
    assert "teacher: 1 of 2" not in told
    assert "teacher: 2 of 2 pictures\n" in told


def test_a_damaged_cache_is_named(dataset: Dataset, file: Path, tmp_path: Path) -> None:
    Teacher(file, tmp_path, 1).taught(dataset, lambda done, of: None)
    [cache] = tmp_path.glob("teacher-*.npz")
    cache.write_bytes(cache.read_bytes()[:100])
    with pytest.raises(UsageError, match="damaged; delete it"):
        Teacher(file, tmp_path, 1).taught(dataset, lambda done, of: None)


def test_another_teachers_labels_go_where_one_looks_itself(dataset: Dataset) -> None:
    soft = replace(dataset.pictures[0], classes=np.array([1]), scores=np.array([0.5], np.float32))
    found = without_pseudo(replace(dataset, pictures=(soft, *dataset.pictures[1:])))
    assert [len(each.classes) for each in found.pictures] == [0, 1, 1, 1]


def test_classes_of_another_data_set_are_a_gap(dataset: Dataset, file: Path, tmp_path: Path) -> None:
    both = [replace(dataset, names=("box", "cat"), labelled={}), replace(dataset, names=("disc", "box"), labelled={})]
    first, second = widened(both)

    assert (first.names, second.names) == (("box", "cat", "disc"), ("disc", "box", "cat"))
    assert (first.known("a"), second.known("b")) == (frozenset({0, 1}), frozenset({0, 1}))
    taught = Teacher(file, tmp_path, 1).taught(first, lambda done, of: None)
    assert [labels(each) for each in taught.pictures] == [[(0, 1.0), (2, 0.3)], [(1, 1.0), (2, 0.3)]] * 2
    [alone] = widened(both[:1])
    assert (alone.names, alone.known("a")) == (("box", "cat"), frozenset({0, 1}))


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--teacher", "nowhere.onnx"], "--teacher has nothing to fill: all classes are labelled in all pictures"),
        (["--teacher", "nowhere.onnx", "--distil", "live"], "--teacher has nothing to fill"),
        (["--teacher", "nowhere.onnx", "--labelled", "a=box"], "nowhere.onnx"),
        (["--teacher", "nowhere.onnx", "--distil", "dense"], "nowhere.onnx"),
        (["--distil", "dense"], "--distil dense says how a teacher is asked; name one by --teacher"),
        (["--distil", "live"], "--distil live says how a teacher is asked; name one by --teacher"),
        (["--teacher", "nowhere.onnx", "--untaught", "a"], "--untaught a is for --distil dense"),
        (["--teacher", "nowhere.onnx", "--distil", "dense", "--untaught", "c"], "--untaught c: no picture is from"),
    ],
)
def test_a_teacher_that_would_not_be_asked_is_refused(
    words: list[str], line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = draw(tmp_path / "data", train=4, val=1)
    assert (
        main(["train", str(data), "--output", str(tmp_path / "out"), "--sizes", "64", "--device", "cpu", *words]) == 2
    )
    *_, last = capsys.readouterr().err.splitlines()
    assert line in last
