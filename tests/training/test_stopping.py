"""A training that is stopped by a signal or by what it has become, and two in one folder."""

import errno
import fcntl
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from engines.training.checkpoint import read_content
from engines.training.output import held_output
from engines.training.schedule import Schedule
from streamer.__main__ import main
from tests.training.drawn import draw
from tests.training.test_classify import paint

QUICK = ("--batch", "4", "--threads", "1", "--device", "cpu", "--val", "none", "--epochs", "2")
TASKS = ("detect", "classify")


def command(task: str, folder: Path) -> list[str]:
    """A training of two epochs of two batches."""
    output = ["--output", str(folder / "out"), *QUICK, "--task", task]
    if task == "detect":
        return ["train", str(draw(folder / "data", train=8, val=1)), *output, "--sizes", "64"]
    parts = {part: {"blue": 4, "red": 4} for part in ("train", "none")}
    return ["train", str(paint(folder / "crops", parts)), *output, "--sizes", "32"]


def place(folder: Path) -> tuple[int, int]:
    training = read_content(folder / "out" / "last.pt")["training"]
    return training["epoch"], training["step"]


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_says_so(tmp_path: Path, task: str, number: int, status: int) -> None:
    words = command(task, tmp_path)
    program = [sys.executable, "-m", "tests.training.signalled", str(int(number)), task, *words]
    stopped = subprocess.run(program, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert stopped.returncode == status, stopped.stderr
    assert "out: stopped; the same command goes on from here" in stopped.stderr
    assert place(tmp_path) == (0, 1)
    assert main(words) == 0
    assert place(tmp_path) == (2, 0)


@pytest.mark.parametrize("task", TASKS)
def test_a_training_that_is_lost_keeps_its_last_good_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], task: str
) -> None:
    session = "engines.training.session" if task == "detect" else "engines.training.classify.session"
    monkeypatch.setattr(f"{session}._CHECKPOINT_S", 0.0)
    monkeypatch.setattr(Schedule, "rate_at", lambda _, epoch, step: float("inf") if (epoch, step) > (0, 0) else 1e-3)
    assert main(command(task, tmp_path)) == 1
    last = tmp_path / "out" / "last.pt"
    assert f"start again with a smaller --rate --init {last} --output OTHER" in capsys.readouterr().err
    assert place(tmp_path) == (0, 1)
    assert all(bool(each.isfinite().all()) for each in read_content(last)["weights"].values())
    assert [each.name for each in last.parent.iterdir() if each.suffix == ".pt"] == ["last.pt"]


@pytest.mark.parametrize("task", TASKS)
def test_one_that_is_lost_from_the_first_step_can_begin_again_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], task: str
) -> None:
    monkeypatch.setattr(Schedule, "rate_at", lambda *_: float("inf"))
    assert main(command(task, tmp_path)) == 1
    assert capsys.readouterr().err.endswith("the loss is no longer a number; start again with a smaller --rate\n")
    assert not (tmp_path / "out" / "last.pt").exists()


def test_a_folder_is_one_trainings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = command("detect", tmp_path)
    with held_output(tmp_path / "out"):
        assert main(words) == 2
    assert "out: another training is at work there; wait" in capsys.readouterr().err
    assert not (tmp_path / "out" / "last.pt").exists()


def test_where_files_can_not_be_locked_it_trains_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", flock)
    with held_output(tmp_path / "out"):
        assert (tmp_path / "out").is_dir()
