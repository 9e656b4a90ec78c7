"""docs/training.md names functions and options: they exist. Data as it shows them are read."""

import argparse
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from engines.evaluation import command as evaluation
from engines.export import command as export
from engines.training import command as training
from engines.training.dataset import read_dataset

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
FORMULAS = PAGE.partition("## Formulas")[2].partition("\n## ")[0]
FUNCTIONS = sorted(
    {name for row in FORMULAS.splitlines() for name in re.findall(r"`([\w.]+)`", row.rpartition(" | ")[2])}
)


def test_every_formula_names_its_function() -> None:
    rows = [row for row in FORMULAS.splitlines() if row.startswith("| ")][1:]
    assert len(rows) > 10
    assert all("`" in row.rpartition(" | ")[2] for row in rows)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_functions_exist(name: str) -> None:
    parts = name.split(".")
    places = {
        count: file
        for folder in ("training", "evaluation")
        for count in range(1, len(parts))
        if (file := (ROOT / "engines" / folder).joinpath(*parts[:count]).with_suffix(".py")).is_file()
    }
    assert places
    count, file = max(places.items())
    for part in parts[count:]:
        assert re.search(rf"^ *(def|class) {part}\b", file.read_text(encoding="utf-8"), re.MULTILINE)


def test_the_options_exist() -> None:
    known: set[str] = set()
    for command in (training, evaluation, export):
        parser = argparse.ArgumentParser()
        command.configure(parser)
        known |= set(parser._option_string_actions)
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", PAGE)) <= known


@pytest.mark.parametrize("kind", ["json", "yaml"])
def test_data_as_they_are_shown_are_read(kind: str, tmp_path: Path) -> None:
    [example] = re.findall(rf"^```{kind}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    (tmp_path / {"json": "train.json", "yaml": "data.yaml"}[kind]).write_text(example, encoding="utf-8")
    for name in ("images/train/1.jpg", "labels/train/1.txt"):
        assert name in PAGE
        (tmp_path / name).parent.mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "images/train/1.jpg"), np.zeros((480, 640, 3), np.uint8))
    (tmp_path / "labels/train/1.txt").write_text("0 .5 .5 .1 .1\n1 .5 .5 .1 .1\n1 .5 .5 .1 .1 .7\n", encoding="utf-8")
    dataset = read_dataset(tmp_path, "train")
    assert (dataset.names, dataset.problems) == (("person", "car"), ())
    [picture] = dataset.pictures
    assert picture.classes.tolist() == [0, 1, 1]
    assert picture.scores.tolist() == pytest.approx([1, 1, 0.7])
    assert picture.source == {"json": "web", "yaml": tmp_path.name}[kind]
