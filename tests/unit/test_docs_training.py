"""docs/training.md names functions and options: they exist."""

import argparse
import re
from pathlib import Path

import pytest

from engines.evaluation import command as evaluation
from engines.export import command as export
from engines.training import command as training

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
