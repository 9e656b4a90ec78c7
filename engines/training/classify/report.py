"""What a classifier's training came to: a page with tables, and the mistakes that it is most sure of."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from engines.detections import Floats
from engines.evaluation.confusion import Confusion, per_class, rows
from engines.training.classify.folders import LabelledFile
from engines.training.resume import PAGE
from streamer.commands.whole_file import whole_file

_WORST = 12


def write_report(
    folder: Path,
    history: Sequence[Mapping[str, float]],
    found: Confusion | None = None,
    files: Sequence[LabelledFile] = (),
    probabilities: Floats | None = None,
) -> Path:
    """Writes report.md into `folder`; returns the page.

    history: see trainer.State. found, files, probabilities (files, classes): of what was measured on, if anything.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts = ["# Training of a classifier", _summary(history), _course(history)]
    if found is not None and probabilities is not None:
        table = [["class", "pictures", "recall", "precision"], *([*map(str, row)] for row in per_class(found))]
        parts += [f"## Accuracy: {found.top1:.3f}", _markdown(table)]
        if rows(found):
            parts += ["What pictures of each class (rows) are taken for (columns):", _markdown(rows(found))]
        parts += ["## Surest mistakes", _mistakes(found.names, files, probabilities)]
    page = folder / PAGE
    with whole_file(page) as file:  # last: with it, a training is finished
        file.write("\n\n".join(parts) + "\n")
    return page


def _summary(history: Sequence[Mapping[str, float]]) -> str:
    minutes = sum(row["seconds"] for row in history) / 60
    return (
        f"{len(history)} epochs in {minutes:.1f} minutes, loss {history[0]['loss']:.3f} to {history[-1]['loss']:.3f}."
    )


def _course(history: Sequence[Mapping[str, float]]) -> str:
    measured = (row for row in history if "accuracy" in row)
    course = [[f"{row['epoch'] + 1:.0f}", f"{row['loss']:.3f}", f"{row['accuracy']:.3f}"] for row in measured]
    table = [["epoch", "loss", "accuracy"], *course]
    return _markdown(table) if len(table) > 1 else "There were no pictures to measure on."


def _mistakes(names: Sequence[str], files: Sequence[LabelledFile], probabilities: Floats) -> str:
    answers = probabilities.argmax(1)
    wrong = np.flatnonzero(answers != [file.kind for file in files])
    worst = wrong[np.argsort(-probabilities[wrong].max(1), kind="stable")][:_WORST]
    lines = [
        f"- {files[number].path}: a {names[files[number].kind]}, taken for a {names[answers[number]]} "
        f"({probabilities[number].max():.2f})"
        for number in worst
    ]
    return "\n".join(lines) or "None."


def _markdown(table: Sequence[Sequence[str]]) -> str:
    head, *body = table
    rule = ["---", *["--:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *body))
