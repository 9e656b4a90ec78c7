"""Trainings killed wherever it could hurt end as one that nothing has disturbed: weights, measurements, report."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engines.training.checkpoint import read_content
from tests.training.drawn import draw
from tests.training.kills import KILLED, Run, statuses
from tests.training.test_classify import paint
from tests.unit.networks import constant_network, rows

QUICK = ("--batch", "4", "--threads", "1", "--device", "cpu", "--epochs", "2", "--validate-every", "1")
KILLS = {
    "detect": [("teacher-*.part.npz", 2), ("best.pt", 1), ("last.pt", 2), ("report.md", 1)],
    "classify": [("last.pt", 2), ("report.md", 1)],
}


def words(task: str, folder: Path) -> list[str]:
    """A training with all that a kill could come between."""
    if task == "classify":
        parts = {part: {"blue": 4, "red": 4} for part in ("train", "val")}
        return ["train", str(paint(folder / "crops", parts)), *QUICK, "--sizes", "32", "--task", task]
    folder.mkdir()
    data = draw(folder / "data", train=8, val=2)
    taught = ["--labelled", "a=box", "--teacher", str(teacher(folder / "teacher.onnx"))]
    return ["train", str(data), *QUICK, "--sizes", "64", *taught]


def teacher(file: Path) -> Path:
    answer = np.ascontiguousarray(rows((32, 32, 20, 20, 0.3, 0), count=84, width=6).transpose(0, 2, 1))
    return constant_network(file, {"output0": answer}, metadata={"names": "['disc', 'cat']", "head": "yolov8"})


def content(output: Path, name: str) -> dict[str, Any]:
    return read_content(output / name)


def measured(output: Path) -> list[dict[str, float]]:
    history = content(output, "last.pt")["training"]["history"]
    return [{key: value for key, value in row.items() if key != "seconds"} for row in history]


def accuracy(output: Path) -> str:
    return (output / "report" / "report.md").read_text(encoding="utf-8").partition("## Accuracy")[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Task -> "whole" and "parts", the outputs of one training that ran through and of one killed as in KILLS."""
    folder = tmp_path_factory.mktemp("trainings")
    runs: list[Run] = []
    for task, kills in KILLS.items():
        given = words(task, folder / task)
        runs.append(([*given, "--output", str(folder / task / "whole")], None))
        runs += [([*given, "--output", str(folder / task / "parts")], kill) for kill in (*kills, None)]
    assert statuses(runs) == [status for kills in KILLS.values() for status in (0, *[KILLED] * len(kills), 0)]
    return folder


@pytest.mark.parametrize("task", KILLS)
def test_kills_change_nothing(folder: Path, task: str) -> None:
    whole, parts = folder / task / "whole", folder / task / "parts"
    for name in ("last.pt", "best.pt"):
        wanted, found = content(whole, name)["weights"], content(parts, name)["weights"]
        assert all(torch.allclose(wanted[key], found[key], atol=1e-5) for key in wanted)
    assert measured(parts) == [pytest.approx(row, abs=1e-3) for row in measured(whole)]
    assert accuracy(parts) == accuracy(whole) != ""
    assert {each.name for each in parts.rglob("*")} == {each.name for each in whole.rglob("*")}
