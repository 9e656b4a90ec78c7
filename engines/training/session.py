"""One call of `streamer train`: data, network and schedule put together, from the beginning or where it stood."""

import argparse
import math
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from engines.detections import Detections
from engines.evaluation.average_precision import score
from engines.training.augment import Augmentation
from engines.training.batches import Batches
from engines.training.checkpoint import Checkpoint, load_checkpoint
from engines.training.dataset import Dataset, place_of, read_dataset
from engines.training.device import chosen_device
from engines.training.distillation import Distillation
from engines.training.network import Network
from engines.training.progress import Counting, Progress
from engines.training.report import write_report
from engines.training.resume import REPORT, check_data, check_same, told
from engines.training.schedule import Schedule
from engines.training.sources import check_sources, left_out
from engines.training.start import first_network
from engines.training.stopping import Stopped, Stopping
from engines.training.teacher import Teacher, check_gaps, widened, without_pseudo
from engines.training.teacher_network import TeacherNetwork
from engines.training.trainer import (
    BEST,
    LAST,
    Distil,
    Settings,
    State,
    Teach,
    Trainer,
    Validate,
    new_state,
    resumed_state,
)
from engines.training.validation import doubts, predict
from streamer.errors import UsageError

_TEACHER_ABSENCE = 0.5  # what a teacher doesn't find is probably not there: half of what a label's absence says
_WARM_UP = 300  # steps, or an epoch if that is shorter
_CHECKPOINT_S = 180.0


def train(arguments: argparse.Namespace) -> int:
    """Trains as told; goes on where the output folder holds an unfinished training of the same arguments.

    Returns the exit status: 0, or that of the signal by which it was stopped. The output folder must be there.

    Raises:
        UsageError: the arguments don't fit the data, or what is in the output folder. ModelError: of --init, --teacher.
    """
    started = time.monotonic()
    folder: Path = arguments.output
    wanted = told(arguments)
    unfinished = _unfinished(folder, wanted, arguments.epochs)
    device = chosen_device(arguments.device)
    threads = arguments.threads or os.cpu_count() or 1
    # A teacher and its pupil that meet once a step do more on busy cores than threads that meet in every operator.
    ahead = device.type == "cpu" and threads > 1 and arguments.teacher is not None and arguments.distil != "once"
    torch.set_num_threads(threads - 1 if ahead else threads)
    torch.manual_seed(arguments.seed)
    torch.backends.cudnn.benchmark = True  # all batches of a size are alike
    stopping = Stopping(started + 60 * (arguments.max_minutes or float("inf")))
    try:
        batches = _batches(arguments, device, threads, stopping)
    except Stopped:
        _note(f"{folder}: {stopping.reason}; the same command goes on from here")
        return stopping.status
    schedule = _schedule(arguments, len(batches))
    progress = Progress(schedule)
    for problem in batches.problems:
        progress.note(problem)
    distil = _distil(arguments, batches.names, device)
    if unfinished:
        if line := check_data(folder, unfinished, batches.names, len(batches.pictures)):
            progress.note(line)
        state = resumed_state(unfinished, device, distil)
    else:
        state = new_state(first_network(arguments.init, batches.names), device, distil)
    if unfinished:
        progress.note(f"{folder}: going on after {state.epoch} epochs and {state.step} batches")
    settings = Settings(
        folder=folder,
        # Asked about every cell, a teacher says itself where nothing is.
        absence=_TEACHER_ABSENCE if arguments.teacher and arguments.distil != "dense" else 0.0,
        validate_every=arguments.validate_every,
        checkpoint_s=_CHECKPOINT_S,
        stop=stopping,
        ahead=ahead,
        arguments=wanted,
    )
    dataset = _measurable(_validation_set(arguments), arguments.val)
    validate, teach = _validation(dataset, batches.names), _teach(arguments, batches.names, device)
    for doubt in doubts(dataset, arguments.val, batches) if dataset else ():
        progress.note(doubt)
    with stopping.listening():
        finished = Trainer(settings, schedule, batches, state, progress, validate, teach).run()
    if not finished:
        progress.note(f"{folder}: {stopping.reason}; the same command goes on from here")
        return stopping.status
    progress.note(f"{_report(folder, state, dataset, batches.names, schedule.sizes[-1])}: what it came to")
    return 0


def _unfinished(folder: Path, wanted: Mapping[str, object], epochs: int) -> Checkpoint | None:
    """The training in the folder, if it is this one."""
    file = folder / LAST
    if not file.exists():
        return None
    checkpoint = load_checkpoint(file)
    check_same(folder, checkpoint.training or {}, wanted, epochs)
    return checkpoint


def _batches(arguments: argparse.Namespace, device: torch.device, threads: int, stopping: Stopping) -> Batches:
    rest = left_out([_dataset(path, arguments) for path in arguments.datasets], arguments.leave_out)
    datasets = [dataset for dataset in rest if dataset.pictures]
    if not any(dataset.names for dataset in datasets):
        raise UsageError(f"{arguments.datasets[0]}: there is no class to learn: nothing is labelled, nothing named")
    check_sources("--labelled", [source for source, _ in arguments.labelled], datasets)
    check_sources("--untaught", arguments.untaught, datasets)
    if arguments.teacher:
        datasets = widened(datasets)
        if arguments.distil != "dense":
            check_gaps(datasets)
    if arguments.teacher and arguments.distil == "once":
        teacher = Teacher(arguments.teacher, arguments.output, threads, stopping)
        with stopping.listening():
            datasets = [teacher.taught(dataset, Counting("teacher")) for dataset in datasets]
    elif arguments.teacher:
        datasets = [without_pseudo(dataset) for dataset in datasets]
    batches = Batches(
        datasets,
        arguments.sizes[-1],
        arguments.batch,
        device,
        arguments.seed,
        _augmentation(arguments),
        dict(arguments.repeat),
        arguments.untaught,
    )
    batches.load()
    return batches


def _augmentation(arguments: argparse.Namespace) -> Augmentation:
    wanted = Augmentation(paste=tuple(arguments.paste), turn=tuple(arguments.turn))
    if arguments.mosaic is not None:
        wanted = replace(wanted, mosaic=arguments.mosaic)
    return replace(wanted, flip=0.0) if arguments.no_flip else wanted


def _dataset(path: Path, arguments: argparse.Namespace) -> Dataset:
    dataset = read_dataset(path, arguments.split)
    for problem in dataset.problems:
        _note(problem)
    return replace(dataset, labelled=_labels_of(dataset, arguments.labelled))


def _labels_of(dataset: Dataset, labelled: Sequence[tuple[str, Sequence[str]]]) -> dict[str, frozenset[int]]:
    """Source -> classes that are labelled there throughout, of the sources that the data set has."""
    sources = {picture.source for picture in dataset.pictures}
    found = {}
    for source, names in labelled:
        unknown = sorted(set(names) - set(dataset.names))
        if source in sources and unknown:
            raise UsageError(f"--labelled {source}: no class {unknown[0]!r}; there are {', '.join(dataset.names)}")
        if source in sources:
            found[source] = frozenset(map(dataset.names.index, names))
    return found


def _schedule(arguments: argparse.Namespace, steps: int) -> Schedule:
    # Adam's steps grow with the square root of the batch (Malladi et al. 2022, arXiv:2205.10287).
    rate = arguments.rate * (arguments.batch / 32) ** 0.5
    return Schedule(arguments.epochs, steps, rate, min(_WARM_UP, steps), tuple(arguments.sizes))


def _teach(arguments: argparse.Namespace, names: Sequence[str], device: torch.device) -> Teach | None:
    if not arguments.teacher or arguments.distil != "live":
        return None
    from engines.training.live_teacher import LiveTeacher

    return LiveTeacher(TeacherNetwork(arguments.teacher, names, device)).taught


def _distil(arguments: argparse.Namespace, names: Sequence[str], device: torch.device) -> Distil | None:
    """What makes the loss against a teacher that is asked about every cell, if that is wanted."""
    if not arguments.teacher or arguments.distil != "dense":
        return None
    teacher = TeacherNetwork(arguments.teacher, names, device)
    return lambda network: Distillation(teacher, network).to(device)


def _validation(dataset: Dataset | None, names: Sequence[str]) -> Validate | None:
    """What measures a network on the data set, if there is one."""
    if dataset is None:
        return None

    def measure(network: Network, size: int) -> dict[str, float]:
        scores = score(predict(network, names, size, dataset), dataset)
        per_class = {f"AP50 {name}": each.AP50 for name, each in scores.per_class.items()}
        return {"AP": scores.AP, "AP50": scores.AP50, **per_class}

    return measure


def _report(folder: Path, state: State, dataset: Dataset | None, names: Sequence[str], size: int) -> Path:
    """Writes the report, on the best weights."""
    if dataset is None:
        return write_report(folder / REPORT, state.history)
    best = load_checkpoint(folder / BEST).plain_network().eval().to(next(state.network.parameters()).device)
    found = predict(best, names, size, dataset)
    return write_report(folder / REPORT, state.history, score(found, dataset), found, dataset)


def _validation_set(arguments: argparse.Namespace) -> Dataset | None:
    try:
        dataset = read_dataset(place_of(arguments.datasets[0], arguments.val), arguments.val)
    except UsageError as error:
        _note(f"{error}: the training goes without a measurement")
        return None
    for problem in dataset.problems:
        _note(problem)
    return replace(dataset, labelled=_labels_of(dataset, arguments.labelled))


def _measurable(dataset: Dataset | None, split: str) -> Dataset | None:
    """The data set, if figures come of it: of no objects there are none."""
    if dataset is None or not math.isnan(score([Detections.none()] * len(dataset.pictures), dataset).AP50):
        return dataset
    _note(f"nothing is labelled in {split}: the training goes without a measurement")
    return None


def _note(line: str) -> None:
    print(f"\r\033[K{line}" if sys.stderr.isatty() else line, file=sys.stderr, flush=True)
