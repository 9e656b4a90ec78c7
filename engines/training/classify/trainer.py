"""A classifier's training, step by step, epoch by epoch, always ready to be killed."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from engines.training.classify.augment import Change, changed
from engines.training.classify.checkpoint import ClassifierCheckpoint, save_classifier
from engines.training.classify.network import ClassifierNetwork
from engines.training.classify.pictures import Pictures
from engines.training.device import halved
from engines.training.ema import Average
from engines.training.progress import Progress
from engines.training.schedule import Schedule
from engines.training.trainer import BEST, LAST, check_numbers, optimizer_of

SMOOTHING = 0.1  # of what is wanted of a class, spread over all (Szegedy et al. 2016, arXiv:1512.00567)

Validate = Callable[[ClassifierNetwork], float]
"""The accuracy, 0 to 1, of a network in eval mode."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How a training is run, apart from its schedule.

    folder: for checkpoints. seed: of all that is drawn by lot. change: of the pictures.
    validate_every: epochs. checkpoint_s: seconds between two checkpoints.
    stop: asked after each batch whether to save and end.
    arguments: what the command was told, for the check when it goes on.
    """

    folder: Path
    seed: int
    change: Change
    validate_every: int
    checkpoint_s: float
    stop: Callable[[], bool]
    arguments: Mapping[str, str | int | float]


@dataclass(slots=True)
class State:
    """Where a training stands: `step` batches of epoch number `epoch` are done.

    history: one row per finished epoch: epoch, size, loss, seconds, and accuracy if measured.
    """

    network: ClassifierNetwork
    average: Average
    optimizer: Any
    epoch: int = 0
    step: int = 0
    history: list[dict[str, float]] = field(default_factory=list)


class Trainer:
    """Trains a network on pictures."""

    def __init__(
        self,
        settings: Settings,
        schedule: Schedule,
        pictures: Pictures,
        state: State,
        progress: Progress,
        validate: Validate | None = None,
    ) -> None:
        self.state = state
        self._settings = settings
        self._schedule = schedule
        self._pictures = pictures
        self._progress = progress
        self._validate = validate
        self._saved = time.monotonic()

    def run(self) -> bool:
        """Trains to the end, or until it is to stop; whether the end was reached. The last checkpoint is on disk then.

        Raises:
            StreamerError: the loss is no longer a number; the last checkpoint is of before.
        """
        while self.state.epoch < self._schedule.epochs:
            if not self._epoch():
                self._save()
                return False
        return True

    def _epoch(self) -> bool:
        """The rest of an epoch; False if it is to stop before."""
        state, started = self.state, time.monotonic()
        losses = torch.zeros((), device=self._pictures.values.device)
        state.network.train()
        done = 0
        for done, chosen in enumerate(self._batches(), 1):
            losses += self._step(chosen)
            state.step += 1
            if self._progress.due():
                self._progress.step(state.epoch, state.step, losses.item() / done)
            if self._settings.stop():
                return False
            if time.monotonic() - self._saved > self._settings.checkpoint_s:
                self._save()
        self._finish(losses.item() / max(1, done), time.monotonic() - started)
        return True

    def _batches(self) -> Iterator[Tensor]:
        """The numbers of the pictures of each batch to come in this epoch; none is much smaller than others."""
        order = self._random(self.state.epoch).permutation(len(self._pictures))
        for chosen in np.array_split(order, self._schedule.steps)[self.state.step :]:
            yield torch.from_numpy(chosen).to(self._pictures.values.device)

    def _step(self, chosen: Tensor) -> Tensor:
        state, pictures = self.state, self._pictures
        random = self._random(state.epoch, state.step)
        torch.manual_seed(int(random.integers(1 << 62)))  # of dropout: the same in a training that goes on
        for group in state.optimizer.param_groups:
            group["lr"] = self._schedule.rate_at(state.epoch, state.step)
        images = changed(pictures.values[chosen], random, self._settings.change)
        with halved(images.device):
            logits = state.network(images.contiguous(memory_format=torch.channels_last))
        loss = classifier_loss(logits.float(), pictures.kinds[chosen])
        state.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        state.optimizer.step()
        state.average.update(state.network)
        return loss.detach()

    def _finish(self, loss: float, seconds: float) -> None:
        state, settings = self.state, self._settings
        check_numbers(state.average.network, settings.folder, loss)
        row = {"epoch": state.epoch, "size": self._schedule.sizes[-1], "loss": loss, "seconds": round(seconds, 1)}
        state.epoch, state.step = state.epoch + 1, 0
        last = state.epoch == self._schedule.epochs
        if self._validate and (state.epoch % settings.validate_every == 0 or last):
            row["accuracy"] = self._validate(state.average.network)
        best = max((past["accuracy"] for past in state.history if "accuracy" in past), default=0.0)
        if row["accuracy"] >= best if "accuracy" in row else last:
            save_classifier(settings.folder / BEST, self._checkpoint(None), half=True)
        state.history.append(row)
        self._save()
        self._progress.epoch(row)

    def _save(self) -> None:
        state = self.state
        check_numbers(state.average.network, self._settings.folder)
        training = {
            "network": state.network.state_dict(),
            "optimizer": state.optimizer.state_dict(),
            "steps": state.average.steps,
            "epoch": state.epoch,
            "step": state.step,
            "history": state.history,
            "pictures": len(self._pictures),
            "arguments": dict(self._settings.arguments),
        }
        save_classifier(self._settings.folder / LAST, self._checkpoint(training))
        self._saved = time.monotonic()

    def _checkpoint(self, training: Mapping[str, Any] | None) -> ClassifierCheckpoint:
        network: Any = self.state.average.network
        size = self._schedule.sizes[-1]
        return ClassifierCheckpoint(network.config, self._pictures.names, size, network.state_dict(), training)

    def _random(self, *place: int) -> np.random.Generator:
        return np.random.default_rng([self._settings.seed, *place])


def classifier_loss(logits: Tensor, kinds: Tensor) -> Tensor:
    """Cross-entropy, a mean over pictures: - Σ q · log p, p = softmax of logits (B, classes).

    q: of the class that is right 1 - SMOOTHING and its share of SMOOTHING, of the others only that share.
    """
    return F.cross_entropy(logits, kinds, label_smoothing=SMOOTHING)


def new_state(network: ClassifierNetwork, device: torch.device) -> State:
    """The beginning of a training."""
    network = network.to(device, memory_format=torch.channels_last)
    return State(network, Average(network), optimizer_of(network))


def resumed_state(checkpoint: ClassifierCheckpoint, device: torch.device) -> State:
    """The training of a checkpoint, as it stood. `checkpoint.training` must not be None."""
    assert checkpoint.training is not None
    training = checkpoint.training
    average = Average(checkpoint.plain_network().to(device, memory_format=torch.channels_last), training["steps"])
    state = new_state(checkpoint.plain_network(), device)
    state.network.load_state_dict(training["network"])
    state.optimizer.load_state_dict(training["optimizer"])
    history = list(training["history"])
    return State(state.network, average, state.optimizer, training["epoch"], training["step"], history)
