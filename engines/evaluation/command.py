"""`streamer evaluate`: how good a model is, and what it costs."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from streamer.commands.common import add_settings_option

if TYPE_CHECKING:
    from engines.evaluation.candidate import Candidate
    from engines.training.dataset import Dataset

HELP = "measure a model's average precision and CPU time on labelled pictures"
EXAMPLES = (
    "streamer evaluate street.onnx streetset",
    "streamer evaluate street.onnx streetset --compare yolox_nano.onnx        both, picture by picture",
    "streamer evaluate int8.onnx streetset --engine openvino --compare fp32.onnx --compare-engine onnxruntime",
    "streamer evaluate kinds.onnx crops                                       a classifier: what it takes for what",
    "streamer evaluate street.onnx data.yaml --split train --limit 500 --json figures.json",
)

_FOR_DETECTORS = ("sources", "labelled", "compare", "compare_engine", "head", "padding")


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument("model", metavar="MODEL", help="ONNX file of a detector, or of a classifier")
    parser.add_argument(
        "dataset",
        type=Path,
        metavar="DATASET",
        help="COCO json or YOLO txt: a folder or its file; for a classifier a folder with val/CLASS/",
    )
    parser.add_argument("--split", default="val", metavar="NAME", help="part of the data set (default: val)")
    parser.add_argument("--sources", metavar="A,B", help="only pictures from these sources (default: all)")
    parser.add_argument(
        "--labelled",
        action="append",
        default=[],
        metavar="SOURCE=A,B",
        help="the classes that a source is labelled for throughout; others don't count in its pictures",
    )
    parser.add_argument("--limit", type=int, metavar="N", help="only N pictures, spread evenly")
    parser.add_argument("--compare", metavar="OTHER", help="another ONNX file, measured in turn with MODEL")
    parser.add_argument("--compare-engine", metavar="NAME", help="what runs OTHER (default: what runs MODEL)")
    parser.add_argument("--engine", metavar="NAME", help="default: detect.engine of the settings (onnxruntime)")
    parser.add_argument("--head", metavar="NAME", help="output layout of MODEL, where it isn't recognised")
    parser.add_argument("--padding", choices=("auto", "centre", "top-left"), help="of MODEL's letterbox")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="cores per inference (default: 1)")
    parser.add_argument("--json", metavar="FILE", help="write the figures there as JSON; -: to stdout, and no table")
    add_settings_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Prints what the model is worth."""
    import sys

    from engines.evaluation.evaluate import evaluate
    from engines.evaluation.report import table, to_json
    from streamer.commands.progress import counting

    _check(arguments)
    if _of_classifier(arguments.model):
        return _run_classifier(arguments)
    dataset = _dataset(arguments)
    for problem in dataset.problems:
        print(problem, file=sys.stderr)
    candidates = _candidates(arguments, dataset)
    with counting("pictures") as one_more:
        found = evaluate(candidates, dataset, one_more)
    for note in dict.fromkeys(note for each in found for note in each.notes):
        print(note, file=sys.stderr)
    if arguments.json != "-":
        print(table(found))
    if arguments.json:  # behind the table: minutes of work are shown, also where it can't be written
        _write(arguments.json, to_json(found, str(arguments.dataset), arguments.split, arguments.threads))
    return 0


def _of_classifier(model: str) -> bool:
    """Whether it is the file of one; what it is instead, others will tell."""
    from engines.classifier import is_classifier
    from engines.onnx_file import read_onnx
    from streamer.errors import ModelError
    from streamer.models import model_path

    try:
        return is_classifier(read_onnx(model_path(model)))
    except ModelError:
        return False


def _run_classifier(arguments: argparse.Namespace) -> int:
    """Prints what the classifier takes for what."""
    import sys
    from dataclasses import replace

    from engines.classifier import open_classifier
    from engines.evaluation.classification import classification_json, classification_table, evaluate_classifier
    from engines.evaluation.subset import spread
    from engines.training.classify.folders import read_split
    from streamer.commands.progress import counting
    from streamer.errors import UsageError
    from streamer.settings import load

    for name in _FOR_DETECTORS:
        if getattr(arguments, name):
            raise UsageError(f"--{name.replace('_', '-')} is for detectors, and {arguments.model} is a classifier")
    pictures = read_split(arguments.dataset, arguments.split)
    if arguments.limit:
        pictures = replace(pictures, files=spread(pictures.files, arguments.limit))
    engine = arguments.engine or load(arguments.config).detect.engine
    classifier = open_classifier(Path(arguments.model), engine, arguments.threads)
    try:
        with counting("pictures") as one_more:
            found = evaluate_classifier(classifier, pictures, one_more)
    finally:
        classifier.close()
    for note in found.notes:
        print(note, file=sys.stderr)
    if arguments.json != "-":
        print(classification_table(found))
    if arguments.json:
        content = classification_json(found, str(arguments.dataset), arguments.split, arguments.threads)
        _write(arguments.json, content)
    return 0


def _check(arguments: argparse.Namespace) -> None:
    import os

    from streamer.errors import UsageError

    for name in ("limit", "threads"):
        value = getattr(arguments, name)
        if value is not None and value < 1:
            raise UsageError(f"--{name} is {value}; give at least 1")
    if arguments.compare_engine and not arguments.compare:
        raise UsageError("--compare-engine says what runs the file of --compare; name that too")
    if arguments.json and arguments.json != "-" and not Path(arguments.json).absolute().parent.is_dir():
        raise UsageError(f"--json {arguments.json}: no such folder")
    if arguments.json and os.path.isdir(arguments.json):
        raise UsageError(f"--json {arguments.json} is a folder; name a file in it")


def _dataset(arguments: argparse.Namespace) -> "Dataset":
    from engines.evaluation.subset import at_most, of_sources
    from engines.training.dataset import read_dataset

    dataset = read_dataset(arguments.dataset, arguments.split, _labelled(arguments.labelled))
    if arguments.sources:
        dataset = of_sources(dataset, [name for name in arguments.sources.split(",") if name])
    return at_most(dataset, arguments.limit) if arguments.limit else dataset


def _labelled(words: list[str]) -> dict[str, list[str]]:
    from streamer.errors import UsageError

    for word in words:
        if "=" not in word:
            raise UsageError(f"--labelled {word}: write SOURCE=CLASS,CLASS, for example cap=person")
    pairs = (word.split("=", 1) for word in words)
    return {source: [name for name in names.split(",") if name] for source, names in pairs}


def _candidates(arguments: argparse.Namespace, dataset: "Dataset") -> "list[Candidate]":
    from engines.evaluation.candidate import open_candidate
    from streamer.settings import load

    settings = load(arguments.config).detect
    chosen = {"engine": arguments.engine, "head": arguments.head, "padding": arguments.padding}
    changes = {key: value for key, value in chosen.items() if value is not None}
    first = settings.model_copy(update={"model": arguments.model, **changes})
    candidates = [open_candidate(first, dataset.names, arguments.threads)]
    if arguments.compare:
        # What is told of MODEL's outputs needn't hold for OTHER, which is read by its own shapes and metadata.
        engine = arguments.compare_engine or first.engine
        other = settings.model_copy(
            update={"model": arguments.compare, "engine": engine, "head": "auto", "padding": "auto"}
        )
        candidates.append(open_candidate(other, dataset.names, arguments.threads))
    return candidates


def _write(place: str, content: bytes) -> None:
    import sys

    from streamer.errors import UsageError

    if place == "-":
        sys.stdout.buffer.write(content)
        return
    try:
        Path(place).write_bytes(content)
    except OSError as error:
        raise UsageError(f"--json {place}: can't be written: {error.strerror}") from None
