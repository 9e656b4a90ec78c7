"""What a training came to: a page with tables, plots and the pictures that went worst, in a folder of its own."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2

from engines.detections import Detections
from engines.evaluation.average_precision import Scores, best_threshold
from engines.training.dataset import Dataset
from engines.training.misses import CONFIDENCE, Misses, draw, worst
from engines.training.picture_file import PictureError
from engines.training.resume import PAGE
from streamer.commands.whole_file import whole_file

_WORST = 12


def write_report(
    folder: Path,
    history: Sequence[Mapping[str, float]],
    scores: Scores | None = None,
    predictions: Sequence[Detections] = (),
    dataset: Dataset | None = None,
) -> Path:
    """Writes report.md and its pictures into `folder`; returns the page.

    history: see trainer.State. scores, predictions, dataset: of what the training was measured on, if anything.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts = ["# Training", _summary(history), _course(folder, history)]
    if scores and dataset:
        parts += ["## Accuracy", _table(scores), _curves(folder, scores)]
        parts += ["## Worst misses", *_pictures(folder, worst(predictions, dataset, _WORST), dataset.names)]
    page = folder / PAGE
    with whole_file(page) as file:  # last: with it, a training is finished
        file.write("\n\n".join(parts) + "\n")
    return page


def _summary(history: Sequence[Mapping[str, float]]) -> str:
    minutes = sum(row["seconds"] for row in history) / 60
    last = history[-1]
    best = max((row for row in history if "AP50" in row), key=lambda row: row["AP50"], default=None)
    line = f"{len(history)} epochs in {minutes:.0f} minutes, loss {history[0]['loss']:.3f} to {last['loss']:.3f}."
    if best:
        line += f" The best measurement, AP50 {best['AP50']:.3f}, was after epoch {best['epoch'] + 1:.0f}."
    return line


def _course(folder: Path, history: Sequence[Mapping[str, float]]) -> str:
    from matplotlib.figure import Figure

    figure = Figure((8, 3.5), layout="constrained")
    losses = figure.add_subplot()
    epochs = [row["epoch"] + 1 for row in history]
    losses.plot(epochs, [row["loss"] for row in history], color="tab:grey", label="loss")
    losses.set_xlabel("epoch")
    losses.set_ylabel("loss")
    measured = [(row["epoch"] + 1, row["AP50"], row["AP"]) for row in history if "AP50" in row]
    if measured:
        accuracy = losses.twinx()
        for column, name in ((1, "AP50"), (2, "AP")):
            accuracy.plot([row[0] for row in measured], [row[column] for row in measured], marker=".", label=name)
        accuracy.set_ylim(0, 1)
        accuracy.legend(loc="upper left")
    figure.savefig(folder / "course.png", dpi=110)
    return "![loss and accuracy by epoch](course.png)"


def _table(scores: Scores) -> str:
    rows = [(name, each.objects, each.AP50, each.AP) for name, each in scores.per_class.items()]
    rows.append(("all", sum(each.objects for each in scores.per_class.values()), scores.AP50, scores.AP))
    lines = [f"| {name} | {objects} | {_figure(ap50)} | {_figure(ap)} |" for name, objects, ap50, ap in rows]
    if best := best_threshold(scores.per_class.values()):
        lines += ["", f"F1 is best, {best.F1:.3f}, from a confidence of {best.confidence:.2f} on."]
    return "\n".join(["| class | objects | AP50 | AP |", "|---|--:|--:|--:|", *lines])


def _figure(value: float) -> str:
    return "none labelled" if math.isnan(value) else f"{value:.3f}"


def _curves(folder: Path, scores: Scores) -> str:
    from matplotlib.figure import Figure

    figure = Figure((6, 5), layout="constrained")
    axes = figure.add_subplot(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    for name, each in scores.per_class.items():
        if each.objects:
            recalls = [step / (len(each.precision) - 1) for step in range(len(each.precision))]
            axes.plot(recalls, each.precision, label=f"{name} {each.AP50:.2f}")
    axes.legend(title="AP50")
    axes.grid(alpha=0.3)
    figure.savefig(folder / "precision_recall.png", dpi=110)
    return "![precision against recall at IoU .50](precision_recall.png)"


def _pictures(folder: Path, found: Sequence[Misses], names: Sequence[str]) -> list[str]:
    parts = [
        f"Found green, missed red, seen where nothing is orange; boxes from a confidence of {CONFIDENCE} on."
        if found
        else "None."
    ]
    for number, misses in enumerate(found, 1):
        name = f"worst_{number:02}.jpg"
        try:
            pixels = draw(misses, names)
        except PictureError:
            continue
        cv2.imwrite(str(folder / name), pixels[..., ::-1])
        missed, invented = int(misses.missed.sum()), int(misses.invented.sum())
        parts.append(f"{misses.picture.path.name}: {missed} missed, {invented} invented\n\n![{name}]({name})")
    return parts
