"""`streamer train`: a detector from labelled pictures, or a classifier from folders of pictures."""

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from engines.training.output import held_output
from engines.training.schedule import LARGEST_SIDE
from streamer.commands.parser import whole
from streamer.errors import UsageError
from streamer.extras import how_to_install

if TYPE_CHECKING:
    from engines.training.dataset import Dataset

HELP = "train a detector or a classifier on labelled pictures"
EXAMPLES = (
    "streamer train pictures/ --output runs/first                   COCO json or YOLO txt folders",
    "streamer train pictures/ --output runs/first                   the same again goes on after a kill",
    "streamer train mine/ --init street --epochs 30                 go on from the shipped weights",
    "streamer train mine/ --labelled web=person --teacher big.onnx  a teacher for what is not labelled",
    "streamer train crops/ --task classify --output runs/kinds      crops/train/CLASS/*.jpg, crops/val/CLASS/*.jpg",
)
_SIZES = {"detect": (192, 256, 320), "classify": (64,)}
_LARGEST_SEED = (1 << 63) - 1
_FOR_DETECTORS = ("labelled", "repeat", "paste", "turn", "mosaic", "leave_out", "teacher", "untaught", "pack")


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument(
        "datasets", nargs="+", type=Path, metavar="DATASET",
        help="COCO json or YOLO txt folders; for a classifier one folder with train/CLASS/, val/CLASS/",
    )  # fmt: skip
    parser.add_argument(
        "--task", choices=tuple(_SIZES), default="detect",
        help="what is learnt: boxes (default), or which class a whole picture belongs to, for second stages",
    )  # fmt: skip
    parser.add_argument("--output", type=Path, default=Path("run"), metavar="FOLDER", help="default: %(default)s")
    _add_data_options(parser.add_argument_group("data"))
    _add_training_options(parser.add_argument_group("training"))
    _add_machine_options(parser.add_argument_group("machine"))


def _add_data_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--split", default="train", metavar="NAME", help="learnt from; default: %(default)s")
    group.add_argument("--val", default="val", metavar="NAME", help="measured on, of the first data set (%(default)s)")
    group.add_argument(
        "--labelled", action="append", default=[], type=_labelled, metavar="SOURCE=CLASS,..",
        help="pictures of this source are labelled for these classes only",
    )  # fmt: skip
    group.add_argument(
        "--repeat", action="append", default=[], type=_repeat, metavar="SOURCE=N", help="shown N times an epoch"
    )
    group.add_argument(
        "--paste", action="append", default=[], type=_pair, metavar="FROM:TO",
        help="objects of one source are pasted into pictures of another",
    )  # fmt: skip
    group.add_argument(
        "--turn", action="append", default=[], type=_share, metavar="SOURCE=SHARE",
        help="so many of a source's pictures (0 to 1) are turned by a quarter, as from a camera that is held anyhow",
    )  # fmt: skip
    group.add_argument(
        "--mosaic", type=_probability, metavar="P",
        help="how many inputs are four pictures together (0 to 1); default: 0.5",
    )  # fmt: skip
    group.add_argument(
        "--no-flip", action="store_const", const=1, help="nothing is mirrored: for signs, digits, left and right"
    )
    group.add_argument("--leave-out", action="append", default=[], metavar="SOURCE", help="pictures not learnt from")


def _add_training_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--epochs", type=_positive, default=100, metavar="N", help="default: %(default)s")
    group.add_argument("--batch", type=_positive, default=32, metavar="N", help="pictures; default: %(default)s")
    group.add_argument(
        "--sizes", type=_sizes, metavar="N,..",
        help="sides of the input in pixels, one after the other; multiples of 32; default: 192,256,320; "
        "a classifier has one, default: 64",
    )  # fmt: skip
    group.add_argument("--rate", type=_rate, default=0.002, metavar="R", help="learning rate for batches of 32")
    group.add_argument(
        "--seed", type=whole(0, _LARGEST_SEED), default=0, metavar="N", help="of all that is drawn by lot"
    )
    group.add_argument(
        "--init", type=_weights, metavar="FILE", help="weights or a checkpoint to start from; street: the shipped ones"
    )
    group.add_argument("--teacher", type=Path, metavar="FILE", help="ONNX detector for classes that are not labelled")
    group.add_argument(
        "--distil", choices=("once", "live", "dense"), default="once",
        help="the teacher finds objects in each picture once (default), or in every batch as it is learnt from (live), "
        "or is asked about every cell of it, features and all (dense: a YOLOX file)",
    )  # fmt: skip
    group.add_argument(
        "--untaught", action="append", default=[], metavar="SOURCE",
        help="pictures of this source are nothing that the teacher knows, as drawn ones: with --distil dense it has no "
        "say there",
    )  # fmt: skip
    group.add_argument("--validate-every", type=_positive, default=5, metavar="N", help="epochs; default: %(default)s")


def _add_machine_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--device", default="auto", metavar="NAME", help="cpu, cuda, cuda:1; default: cuda if there")
    group.add_argument("--threads", type=_positive, metavar="N", help="cores; default: all")
    group.add_argument(
        "--pack", type=Path, metavar="FOLDER",
        help="don't train: pack the data sets for a machine that can't get at them, in pieces of at most 48 MiB",
    )  # fmt: skip
    group.add_argument("--max-minutes", type=_fraction, metavar="N", help="then stop; the same command goes on")


def run(arguments: argparse.Namespace) -> int:
    """Trains, or packs."""
    arguments.sizes = arguments.sizes or _SIZES[arguments.task]
    if arguments.task == "classify":
        _check_classify(arguments)
    if arguments.pack:
        return _pack(arguments)
    if arguments.distil != "once" and not arguments.teacher:
        raise UsageError(f"--distil {arguments.distil} says how a teacher is asked; name one by --teacher")
    if arguments.untaught and arguments.distil != "dense":
        raise UsageError(f"--untaught {arguments.untaught[0]} is for --distil dense; else only gaps are asked about")
    # Before OpenMP is loaded: its threads wait for each other by spinning, which on cores that others use as well
    # takes most of the time.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        import torch  # noqa: F401
    except ImportError:
        raise UsageError(f"training needs PyTorch: {how_to_install('train')}") from None
    if arguments.task == "classify":
        from engines.training.classify.session import train
    else:
        from engines.training.session import train
    with held_output(arguments.output):
        return train(arguments)


def _check_classify(arguments: argparse.Namespace) -> None:
    given = [name for name in _FOR_DETECTORS if getattr(arguments, name) not in (None, [])]
    if arguments.distil != "once":
        given.append("distil")
    if given:
        raise UsageError(f"--{given[0].replace('_', '-')} is for detectors; leave it out with --task classify")
    if len(arguments.datasets) > 1:
        raise UsageError(f"a classifier learns from one folder, not from {len(arguments.datasets)}; put them together")
    if len(arguments.sizes) > 1:
        raise UsageError(f"--sizes {','.join(map(str, arguments.sizes))}: a classifier has one size; give one")


def _pack(arguments: argparse.Namespace) -> int:
    """One packed data set per given one, in a folder of its name."""
    from engines.training.packing import pack_dataset
    from engines.training.sources import left_out

    # All are read before any is written: one that can't be read leaves no half of the others behind.
    read = [_to_pack(path, arguments) for path in arguments.datasets]
    learnt = left_out([parts[arguments.split] for parts in read], arguments.leave_out)
    for path, parts, rest in zip(arguments.datasets, read, learnt, strict=True):
        folder = arguments.pack / path.name
        parts[arguments.split] = rest
        for split, dataset in parts.items():
            if not dataset.pictures:
                continue
            pieces = pack_dataset(dataset, folder, split)
            print(f"{folder}: {split}, {len(dataset.pictures)} pictures in {len(pieces)} pieces")
    return 0


def _to_pack(path: Path, arguments: argparse.Namespace) -> "dict[str, Dataset]":
    """Its split that is learnt from, and that which is measured on, if it has one; says what is wrong with them."""
    from engines.training.dataset import place_of, read_dataset

    labelled = dict(arguments.labelled)
    parts = {arguments.split: read_dataset(path, arguments.split, labelled)}
    try:
        parts[arguments.val] = read_dataset(place_of(path, arguments.val), arguments.val, labelled)
    except UsageError as error:
        print(f"{error}: packed without it", file=sys.stderr)
    for problem in (problem for dataset in parts.values() for problem in dataset.problems):
        print(problem, file=sys.stderr)
    return parts


def _weights(text: str) -> Path:
    from engines.models import STREET_WEIGHTS

    return STREET_WEIGHTS if text == "street" else Path(text)


def _labelled(text: str) -> tuple[str, tuple[str, ...]]:
    source, equals, names = text.partition("=")
    if not (source and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is not SOURCE=CLASS,CLASS")
    return source, tuple(filter(None, names.split(",")))


def _repeat(text: str) -> tuple[str, int]:
    source, _, count = text.partition("=")
    if not source or not count.isdecimal() or int(count) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not SOURCE=NUMBER")
    return source, int(count)


def _share(text: str) -> tuple[str, float]:
    source, _, share = text.partition("=")
    try:
        value = _fraction(share)
    except argparse.ArgumentTypeError:
        value = 0.0
    if not source or not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not SOURCE=SHARE, a share from 0 to 1")
    return source, value


def _probability(text: str) -> float:
    if text == "0":
        return 0.0
    value = _fraction(text)
    if value > 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a probability, 0 to 1")
    return value


def _pair(text: str) -> tuple[str, str]:
    giver, _, taker = text.partition(":")
    if not giver or not taker:
        raise argparse.ArgumentTypeError(f"{text!r} is not FROM:TO")
    return giver, taker


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 on")
    return int(text)


def _fraction(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def _rate(text: str) -> float:
    value = _fraction(text)
    if value > 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a learning rate, above 0 and at most 1")
    return value


def _sizes(text: str) -> tuple[int, ...]:
    sizes = [int(part) if part.isdecimal() else 0 for part in text.split(",")]
    if not all(0 < size <= LARGEST_SIDE and size % 32 == 0 for size in sizes) or sizes != sorted(sizes):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of rising multiples of 32 up to {LARGEST_SIDE}")
    return tuple(sizes)
