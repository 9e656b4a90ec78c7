"""One call of `streamer train --task classify`: pictures, network and schedule put together, or found again."""

import argparse
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path

import torch

from engines.detections import Floats
from engines.evaluation.confusion import Confusion, confusion
from engines.training.classify.augment import Change
from engines.training.classify.checkpoint import ClassifierCheckpoint, load_classifier
from engines.training.classify.folders import learnt_and_measured
from engines.training.classify.network import ClassifierNetwork
from engines.training.classify.pictures import Pictures, load, load_learnt
from engines.training.classify.report import write_report
from engines.training.classify.start import first_classifier
from engines.training.classify.trainer import Settings, State, Trainer, new_state, resumed_state
from engines.training.device import chosen_device
from engines.training.progress import Progress
from engines.training.resume import REPORT, check_data, check_same, told
from engines.training.schedule import Schedule
from engines.training.stopping import Stopping
from engines.training.trainer import BEST, LAST

_WARM_UP = 100  # steps, or an epoch if that is shorter
_CHECKPOINT_S = 180.0
_AT_A_TIME = 256  # pictures that are measured together


def train(arguments: argparse.Namespace) -> int:
    """Trains as told; goes on where the output folder holds an unfinished training of the same arguments.

    Returns the exit status: 0, or that of the signal by which it was stopped. The output folder must be there.

    Raises:
        UsageError: the arguments don't fit the pictures, or what is in the output folder. ModelError: of --init.
    """
    started = time.monotonic()
    folder: Path = arguments.output
    wanted = told(arguments)
    unfinished = _unfinished(folder, wanted, arguments.epochs)
    device = chosen_device(arguments.device)
    torch.set_num_threads(arguments.threads or os.cpu_count() or 1)
    torch.manual_seed(arguments.seed)
    learnt, measured = _pictures(arguments, device)
    schedule = _schedule(arguments, len(learnt))
    progress = Progress(schedule)
    for problem in (*learnt.problems, *measured.problems):
        progress.note(problem)
    if not len(measured):
        progress.note(f"{arguments.datasets[0]}: no picture to measure on: the training goes without")
    if unfinished and (line := check_data(folder, unfinished, learnt.names, len(learnt))):
        progress.note(line)
    if not unfinished:
        state = new_state(first_classifier(arguments.init, learnt.names), device)
    else:
        state = resumed_state(unfinished, device)
        progress.note(f"{folder}: going on after {state.epoch} epochs and {state.step} batches")
    stopping = Stopping(started + 60 * (arguments.max_minutes or float("inf")))
    settings = _settings(arguments, wanted, stopping)
    validate = (lambda network: _measure(network, measured)[0].top1) if len(measured) else None
    with stopping.listening():
        finished = Trainer(settings, schedule, learnt, state, progress, validate).run()
    if not finished:
        progress.note(f"{folder}: {stopping.reason}; the same command goes on from here")
        return stopping.status
    progress.note(f"{_report(folder, state, measured, device)}: what it came to")
    return 0


def _unfinished(folder: Path, wanted: Mapping[str, object], epochs: int) -> ClassifierCheckpoint | None:
    """The training in the folder, if it is this one."""
    file = folder / LAST
    if not file.exists():
        return None
    checkpoint = load_classifier(file)
    check_same(folder, checkpoint.training or {}, wanted, epochs)
    return checkpoint


def _pictures(arguments: argparse.Namespace, device: torch.device) -> tuple[Pictures, Pictures]:
    """To learn from, and to measure on."""
    learnt, measured = learnt_and_measured(arguments.datasets[0], arguments.split, arguments.val)
    [size] = arguments.sizes
    loaded = load_learnt(learnt, size, device)
    return loaded, load(measured.named(loaded.names), size, device)


def _schedule(arguments: argparse.Namespace, pictures: int) -> Schedule:
    steps = math.ceil(pictures / arguments.batch)
    # Adam's steps grow with the square root of the batch (Malladi et al. 2022, arXiv:2205.10287).
    rate = arguments.rate * (arguments.batch / 32) ** 0.5
    return Schedule(arguments.epochs, steps, rate, min(_WARM_UP, steps), tuple(arguments.sizes))


def _settings(arguments: argparse.Namespace, wanted: Mapping[str, str | int | float], stopping: Stopping) -> Settings:
    return Settings(
        folder=arguments.output,
        seed=arguments.seed,
        change=Change(flip=0.0) if arguments.no_flip else Change(),
        validate_every=arguments.validate_every,
        checkpoint_s=_CHECKPOINT_S,
        stop=stopping,
        arguments=wanted,
    )


def _measure(network: ClassifierNetwork, measured: Pictures) -> tuple[Confusion, Floats]:
    """What a network in eval mode takes the pictures for, and its probabilities (pictures, classes)."""
    with torch.no_grad():
        parts = [network.probabilities(part.float() / 255) for part in measured.values.split(_AT_A_TIME)]
    found: Floats = torch.cat(parts).cpu().numpy()
    return confusion(measured.kinds.tolist(), found.argmax(1), measured.names), found


def _report(folder: Path, state: State, measured: Pictures, device: torch.device) -> Path:
    """Writes the report, on the best weights."""
    if not len(measured):
        return write_report(folder / REPORT, state.history)
    best = load_classifier(folder / BEST).plain_network().eval().to(device)
    found, probabilities = _measure(best, measured)
    return write_report(folder / REPORT, state.history, found, measured.files, probabilities)
