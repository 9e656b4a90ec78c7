"""Evaluations as a table, and as JSON."""

from collections.abc import Sequence

import numpy as np
import orjson

from engines.evaluation.evaluate import Evaluation


def table(found: Sequence[Evaluation]) -> str:
    """One line per class; of two evaluations both, and how much more the first one finds."""
    first = found[0]
    objects = sum(each.objects for each in first.per_class.values())
    lines = [f"{_letter(number, found)}{each.model}, {each.engine}" for number, each in enumerate(found)]
    lines += [f"{first.pictures} pictures, {objects} objects", ""]
    lines.append(f"{'':<16}{'objects':>8}" + _columns(found))
    for name, each in first.per_class.items():
        figures = [(one.per_class[name].AP50, one.per_class[name].AP) for one in found]
        lines.append(f"{name:<16}{each.objects:>8}" + _figures(figures))
    lines.append(f"{'mean':<16}{objects:>8}" + _figures([(each.AP50, each.AP) for each in found]))
    return "\n".join([*lines, "", *_thresholds(found), _cost(found)])


def to_json(found: Sequence[Evaluation], dataset: str, split: str, threads: int) -> bytes:
    """The first evaluation's figures, those of the second under "compare"."""
    content = {"dataset": dataset, "split": split, "threads": threads, **found[0].to_json()}
    if len(found) > 1:
        content["compare"] = found[1].to_json()
    return orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _letter(number: int, found: Sequence[Evaluation]) -> str:
    return f"{'AB'[number]}  " if len(found) > 1 else ""


def _columns(found: Sequence[Evaluation]) -> str:
    if len(found) == 1:
        return f"{'AP50':>8}{'AP':>8}"
    return "".join(f"{title:>8}" for title in ("A AP50", "B AP50", "A-B", "A AP", "B AP", "A-B"))


def _figures(figures: Sequence[tuple[float, float]]) -> str:
    """figures: AP50 and AP of each evaluation."""
    cells = []
    for values in zip(*figures, strict=True):
        cells += [_cell(value) for value in values]
        if len(values) > 1:
            cells.append(_cell(values[0] - values[1], "+"))
    return "".join(f"{cell:>8}" for cell in cells)


def _cell(value: float, sign: str = "") -> str:
    return "-" if np.isnan(value) else f"{value:{sign}.3f}"


def _thresholds(found: Sequence[Evaluation]) -> list[str]:
    return [
        f"{_letter(number, found)}best F1 {each.threshold.F1:.3f}, at a confidence of {each.threshold.confidence:.2f}"
        for number, each in enumerate(found)
        if each.threshold
    ]


def _cost(found: Sequence[Evaluation]) -> str:
    costs = [each.cpu_ms_per_picture for each in found]
    if len(costs) == 1:
        return f"CPU per picture: {costs[0]:.2f} ms"
    return f"CPU per picture: A {costs[0]:.2f} ms, B {costs[1]:.2f} ms, A/B {costs[0] / costs[1]:.2f}"
