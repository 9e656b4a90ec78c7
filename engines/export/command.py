"""`streamer export`: a trained network as an ONNX file."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamer.commands.parser import number
from streamer.models import model_path

if TYPE_CHECKING:
    from engines.training.dataset import Dataset

HELP = "make an ONNX file of a checkpoint, or one in FP16 or INT8 of another"
EXAMPLES = (
    "streamer export best.pt --output street.onnx",
    "streamer export street.onnx --output street_fp16.onnx --precision fp16",
    "streamer export street.onnx --output street_int8.onnx --precision int8 --calibrate streetset",
    "streamer export best.pt --output street_416.onnx --size 416 --measure streetset",
    "streamer export run9/best.pt --average run10/best.pt --output mean.pt",
    "streamer export street --output wide.onnx --size 288x160         the shipped one, for pictures of 16:9",
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument(
        "model", type=model_path, metavar="MODEL",
        help="checkpoint of `streamer train`, or ONNX file, or the name of a shipped one: street",
    )  # fmt: skip
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="ONNX file to write")
    parser.add_argument("--precision", choices=("fp32", "fp16", "int8"), default="fp32", help="default: fp32")
    parser.add_argument("--measure", type=Path, metavar="DATASET", help="compare before and after on its val pictures")
    parser.add_argument("--split", default="val", metavar="NAME", help="part that is measured on (default: val)")
    parser.add_argument("--limit", type=int, metavar="N", help="only N of them, spread evenly (default: all)")
    parser.add_argument(
        "--engine", default="onnxruntime", metavar="NAME", help="what it is measured in (default: onnxruntime)"
    )
    parser.add_argument(
        "--license",
        metavar="NAME",
        help="of the weights, for the metadata (default: as an ONNX file says, or not stated)",
    )
    parser.add_argument(
        "--confidence",
        type=number(0.001, 1),
        metavar="P",
        help="least score of an object, for the metadata: what a worker takes that is told none (default: as an ONNX "
        "file says, or not stated: 0.25)",
    )
    checkpoint = parser.add_argument_group("from a checkpoint")
    checkpoint.add_argument(
        "--size", type=_size, metavar="N|WxH",
        help="of the input, as 288 or, in the shape of wide cameras' pictures, 288x160 (default: as it was trained)",
    )  # fmt: skip
    checkpoint.add_argument(
        "--average", type=Path, action="append", default=[], metavar="FILE",
        help="checkpoint that grew out of the same training: the mean of its weights and MODEL's is taken; repeatable, "
        "one that is named twice counts twice",
    )  # fmt: skip
    checkpoint.add_argument("--batch", type=int, default=1, metavar="N", help="pictures per inference; 0: any (1)")
    integers = parser.add_argument_group("to int8")
    integers.add_argument("--calibrate", type=Path, metavar="DATASET", help="pictures like those of the service")
    integers.add_argument("--calibrate-split", default="train", metavar="NAME", help="part of it (default: train)")
    integers.add_argument("--pictures", type=int, default=200, metavar="N", help="to calibrate with (default: 200)")
    integers.add_argument("--loss", type=float, default=0.01, metavar="AP50", help="that is allowed (default: 0.01)")


def _size(text: str) -> tuple[int, int]:
    """Width and height."""
    width, _, height = text.partition("x")
    try:
        return int(width), int(height or width)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number, or two as 288x160") from None


def run(arguments: argparse.Namespace) -> int:
    """Writes the file; prints what was lost and what a picture costs, where there are pictures to tell by."""
    _find_weights(arguments)
    _check(arguments)
    if _is_checkpoint(arguments.output):
        return _write_weights(arguments)
    from engines.evaluation.report import table
    from engines.evaluation.subset import at_most
    from engines.export.export import write
    from engines.export.measuring import measured
    from engines.export.sources import state

    model = _source(arguments)
    _check_task(arguments, model)
    state(model, license=arguments.license, confidence=arguments.confidence)
    test = _test(arguments)
    if test and arguments.limit:
        test = at_most(test, arguments.limit)
    changed = _changed(arguments, model, test)
    write(changed, arguments.output)
    print(f"{arguments.output}: {arguments.precision}, {arguments.output.stat().st_size / 1e6:.2f} MB")
    if test:
        both = [changed] if arguments.precision == "fp32" else [changed, model]
        names = [str(arguments.output), f"{arguments.model} in fp32"][: len(both)]
        print(table(measured(both, names, test, arguments.engine)))
    elif arguments.precision != "fp32":
        measure = "`streamer evaluate` does that" if _is_classifier(model) else "--measure DATASET does that"
        print(f"what was lost is not measured; {measure}")
    return 0


def _write_weights(arguments: argparse.Namespace) -> int:
    from streamer.errors import UsageError
    from streamer.extras import how_to_install

    try:
        from engines.training.averaging import averaged
        from engines.training.checkpoint import save_checkpoint
    except ImportError:
        raise UsageError(f"writing a checkpoint needs PyTorch: {how_to_install('train')}") from None
    save_checkpoint(arguments.output, averaged([arguments.model, *arguments.average]), half=True)
    print(f"{arguments.output}: weights, {arguments.output.stat().st_size / 1e6:.2f} MB")
    return 0


def _check(arguments: argparse.Namespace) -> None:
    import importlib.util

    from streamer.errors import UsageError
    from streamer.extras import how_to_install

    if importlib.util.find_spec("onnx") is None:
        raise UsageError(f"export needs onnx: {how_to_install('export')}")
    from_onnx = _is_onnx(arguments.model)
    if from_onnx and _is_reshaped(arguments):
        raise UsageError(f"--size and --batch are for checkpoints; in {arguments.model} they are fixed")
    if from_onnx and arguments.average:
        raise UsageError(f"--average is for checkpoints, and {arguments.model} is an ONNX file")
    if _is_checkpoint(arguments.output):
        _check_weights(arguments)
    if from_onnx and arguments.precision == "fp32":
        raise UsageError(f"{arguments.model} is an ONNX file already; say --precision fp16 or int8")
    if arguments.precision != "int8" and arguments.calibrate:
        raise UsageError(f"--calibrate is for --precision int8, this is {arguments.precision}; or say --measure")
    for name, least in {"batch": 0, "pictures": 1, "loss": 0, "limit": 1}.items():
        given = getattr(arguments, name)
        if given is not None and given < least:
            raise UsageError(f"--{name} is {given}; give at least {least}")
    _check_output(arguments)


def _check_weights(arguments: argparse.Namespace) -> None:
    """What is said of an ONNX file does nothing where weights are written."""
    from streamer.errors import UsageError

    output = f"--output {arguments.output}"
    if not arguments.average:
        raise UsageError(f"{output}: ONNX files are written; a checkpoint only of several, --average")
    if arguments.precision != "fp32" or arguments.measure:
        raise UsageError(f"{output} will be a checkpoint: --precision and --measure are for ONNX files")
    if _is_reshaped(arguments) or arguments.license or arguments.confidence is not None:
        raise UsageError(
            f"{output} will be a checkpoint: --size, --batch, --license and --confidence are said when an ONNX file is "
            "made of it"
        )


def _check_task(arguments: argparse.Namespace, model: Any) -> None:
    """What is measured here, and 8 bits, which are chosen by what is measured, are for detectors."""
    from streamer.errors import UsageError

    classifier = _is_classifier(model)
    if classifier and arguments.precision == "int8":
        raise UsageError(f"int8 is for detectors, and {arguments.model} is a classifier; fp16 is for both")
    if classifier and arguments.confidence is not None:
        raise UsageError(f"--confidence is for detectors, and {arguments.model} is a classifier")
    if classifier and arguments.measure:
        raise UsageError("--measure is for detectors; `streamer evaluate` measures a classifier")
    if arguments.precision == "int8" and not arguments.calibrate:
        raise UsageError("int8 is calibrated on pictures like those of the service; name some by --calibrate")


def _is_classifier(model: Any) -> bool:
    return any(each.key == "task" and each.value == "classify" for each in model.metadata_props)


def _check_output(arguments: argparse.Namespace) -> None:
    from streamer.errors import UsageError

    if not arguments.output.absolute().parent.is_dir():
        raise UsageError(f"--output {arguments.output}: no such folder")
    if arguments.output.is_dir():
        raise UsageError(f"--output {arguments.output} is a folder; name a file in it")
    if arguments.output.exists() and arguments.model.exists() and arguments.output.samefile(arguments.model):
        raise UsageError(f"--output {arguments.output} is MODEL itself; give the result another name")


def _is_onnx(path: Path) -> bool:
    return path.suffix.lower() == ".onnx"


def _is_checkpoint(path: Path) -> bool:
    return path.suffix.lower() == ".pt"


def _find_weights(arguments: argparse.Namespace) -> None:
    """Puts the shipped detector's weights in the place of its file where another shape than the file's is wanted."""
    from engines.models import CONFIDENCE, LICENSE, STREET, STREET_WEIGHTS

    if arguments.model == STREET and _is_reshaped(arguments):
        arguments.model, arguments.license = STREET_WEIGHTS, arguments.license or LICENSE
        arguments.confidence = arguments.confidence or CONFIDENCE


def _is_reshaped(arguments: argparse.Namespace) -> bool:
    return arguments.size is not None or arguments.batch != 1


def _source(arguments: argparse.Namespace) -> Any:
    from engines.export.sources import Shape, from_checkpoint, from_onnx

    if _is_onnx(arguments.model):
        return from_onnx(arguments.model)
    return from_checkpoint(arguments.model, Shape(arguments.size, arguments.batch), arguments.average)


def _changed(arguments: argparse.Namespace, model: Any, test: "Dataset | None") -> Any:
    """The model in the precision that is wanted."""
    import sys

    from engines.export.export import Calibration, in_half, in_integers

    if arguments.precision == "fp32":
        return model
    if arguments.precision == "fp16":
        return in_half(model)
    pictures = _dataset(arguments.calibrate, arguments.calibrate_split)
    assert pictures is not None  # seen to by _check, as is that there is a test
    assert test is not None
    calibration = Calibration(pictures, arguments.pictures, test, arguments.engine, arguments.loss)
    found = in_integers(model, calibration, lambda line: print(line, file=sys.stderr))
    alone = ", ".join(found.left_alone)
    print(f"{found.layers - len(found.left_alone)} of {found.layers} convolutions in 8 bits; left alone: {alone}")
    return found.model


def _test(arguments: argparse.Namespace) -> "Dataset | None":
    """What is measured on, if something is: what is named for it, or what belongs to the calibration's pictures."""
    from engines.training.dataset import place_of
    from streamer.errors import UsageError

    try:
        place = arguments.measure
        if not place and arguments.calibrate:
            place = place_of(arguments.calibrate, arguments.split)
        return _dataset(place, arguments.split)
    except UsageError as error:
        raise UsageError(f"{error}; what is measured on is named by --measure and --split") from None


def _dataset(path: Path | None, split: str) -> "Dataset | None":
    import sys

    from engines.training.dataset import read_dataset

    if path is None:
        return None
    dataset = read_dataset(path, split)
    for problem in dataset.problems:
        print(problem, file=sys.stderr)
    return dataset
