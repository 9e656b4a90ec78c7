"""Training on a tiny set, through the command: it learns, goes on after a kill, and repeats itself by its seed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from engines.training.checkpoint import load_checkpoint
from streamer.__main__ import main
from tests.training.drawn import NAMES, draw
from tests.training.test_classify import paint

QUICK = ("--sizes", "64", "--batch", "4", "--threads", "1", "--device", "cpu", "--val", "none")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw(tmp_path_factory.mktemp("data"))


def train(data: Path, output: Path, *more: str) -> int:
    return main(["train", str(data), "--output", str(output), *QUICK, *more])


def weights(output: Path) -> dict[str, torch.Tensor]:
    return dict(load_checkpoint(output / "last.pt").weights)


def history(output: Path) -> list[dict[str, float]]:
    training = load_checkpoint(output / "last.pt").training
    assert training is not None
    return training["history"]


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return all(torch.allclose(first[key], second[key], atol=1e-5) for key in first)


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of a training of six epochs that nothing has disturbed."""
    output = tmp_path_factory.mktemp("whole")
    assert train(data, output, "--epochs", "6") == 0
    return output


def test_the_loss_falls(whole: Path) -> None:
    # That of the boxes: a class is asked for the overlap of its box, so its loss rises first while boxes get better.
    losses = [row["boxes"] for row in history(whole)]
    assert len(losses) == 6
    assert losses[-1] < 0.8 * losses[0]
    assert load_checkpoint(whole / "last.pt").names == NAMES


def test_a_training_stopped_and_killed_ends_as_if_nothing_had_been(data: Path, whole: Path, tmp_path: Path) -> None:
    assert train(data, tmp_path, "--epochs", "6", "--max-minutes", "1e-9") == 0
    training = load_checkpoint(tmp_path / "last.pt").training
    assert training is not None
    assert (training["epoch"], training["step"]) == (0, 1)

    stopped = (tmp_path / "last.pt").stat().st_mtime_ns
    command = [sys.executable, "-m", "streamer", "train", str(data), "--output", str(tmp_path), *QUICK, "--epochs", "6"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        while (tmp_path / "last.pt").stat().st_mtime_ns == stopped and process.poll() is None:
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
    assert 1 <= len(history(tmp_path)) < 6

    assert train(data, tmp_path, "--epochs", "6") == 0
    assert same(weights(whole), weights(tmp_path))
    assert [row["epoch"] for row in history(tmp_path)] == list(range(6))


def test_another_seed_is_another_training(data: Path, whole: Path, tmp_path: Path) -> None:
    train(data, tmp_path, "--epochs", "1", "--seed", "6")
    assert history(tmp_path)[0]["loss"] != history(whole)[0]["loss"]


def test_weights_of_another_training_are_a_start(data: Path, whole: Path, tmp_path: Path) -> None:
    train(data, tmp_path, "--epochs", "1", "--init", str(whole / "last.pt"), "--rate", "1e-6")
    assert history(tmp_path)[0]["boxes"] < 0.8 * history(whole)[0]["boxes"]


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (("--epochs", "7"), "holds another training (--epochs 6); name another --output"),
        (("--epochs", "6"), "holds this training, finished"),
    ],
)
def test_the_output_of_another_training_is_left_alone(
    data: Path, whole: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], line: str
) -> None:
    before = (whole / "last.pt").read_bytes()
    assert train(data, whole, *more) == 2
    assert line in capsys.readouterr().err
    assert (whole / "last.pt").read_bytes() == before


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (("--labelled", "c=box"), "no picture is from that source; there are: a, b"),
        (("--labelled", "a=cat"), "--labelled a: no class 'cat'; there are box, disc"),
        (("--repeat", "c=2"), "no picture is from source 'c'"),
        (("--init", "missing.pt"), "missing.pt: can't be read"),
        (("--device", "quantum"), "no device is called 'quantum'"),
        (("--device", "meta"), "--device meta: trainings run on cpu, cuda or cuda:NUMBER"),
        (("--device", "cuda:99"), "--device cuda:99: PyTorch sees "),
        (("--output", "{file}"), "file: can't be written to: File exists; name another folder"),
        (("--output", "{file}/deep"), "deep: can't be written to: Not a directory; name another folder"),
        (("--leave-out", "a", "--leave-out", "b"), "--leave-out a b leaves no picture"),
        (("--leave-out", "A"), "--leave-out A: no picture is from that source; there are: a, b"),
    ],
)
def test_mistakes_are_told_in_a_line(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], line: str
) -> None:
    (file := tmp_path / "file").touch()
    assert train(data, tmp_path / "out", "--epochs", "1", *(word.format(file=file) for word in more)) == 2
    assert line in capsys.readouterr().err


def test_no_class_is_nothing_to_learn(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = json.loads((data / "train.json").read_text(encoding="utf-8")) | {"annotations": [], "categories": []}
    (data / "unnamed.json").write_text(json.dumps(content), encoding="utf-8")
    (data / "images" / "unnamed").symlink_to(data / "images" / "train")
    assert train(data, tmp_path, "--split", "unnamed") == 2
    assert "there is no class to learn" in capsys.readouterr().err


def test_sizes_that_the_network_can_not_take_are_refused(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", str(data), "--sizes", "100"])
    assert "'100' is not a list of rising multiples of 32" in capsys.readouterr().err


def test_it_measures_itself_and_ends_with_a_report(data: Path, tmp_path: Path) -> None:
    assert train(data, tmp_path, "--epochs", "1", "--val", "val") == 0
    assert all(0 <= row["AP50 box"] <= 1 for row in history(tmp_path))
    assert "| disc | 3 |" in (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    best = load_checkpoint(tmp_path / "best.pt")
    assert best.training is None
    assert (tmp_path / "best.pt").stat().st_size < (tmp_path / "last.pt").stat().st_size / 4


@pytest.mark.parametrize("task", ["detect", "classify"])
def test_a_report_that_a_kill_came_before_is_written_by_the_same_command(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], task: str
) -> None:
    given, more = data, ("--epochs", "1", "--task", task, "--val", "val")
    if task == "classify":
        given = paint(tmp_path / "crops", {part: {"blue": 4, "red": 4} for part in ("train", "val")})
    output = tmp_path / "out"
    assert train(given, output, *more) == 0
    last, page = output / "last.pt", output / "report" / "report.md"
    wanted, stood = page.read_text(encoding="utf-8"), last.read_bytes()
    page.unlink()
    assert train(given, output, *more) == 0
    assert page.read_text(encoding="utf-8") == wanted
    assert last.read_bytes() == stood
    assert train(given, output, *more) == 2
    assert "holds this training, finished" in capsys.readouterr().err


def test_without_labels_to_measure_on_the_end_is_the_best(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nothing = json.loads((data / "val.json").read_text(encoding="utf-8")) | {"annotations": []}
    (data / "nothing.json").write_text(json.dumps(nothing), encoding="utf-8")
    (data / "images" / "nothing").symlink_to(data / "images" / "val")
    for val, line in (("none", "no data set with a split 'none'"), ("nothing", "nothing is labelled in nothing")):
        output = tmp_path / val
        assert train(data, output, "--epochs", "1", "--val", val) == 0
        told = capsys.readouterr().err
        assert line in told
        assert told.index("goes without a measurement") < told.index("epoch 1/1 ")
        best = load_checkpoint(output / "best.pt").weights
        assert all(torch.allclose(best[key], value, rtol=1e-3, atol=1e-4) for key, value in weights(output).items())
        assert (output / "report" / "report.md").is_file()
