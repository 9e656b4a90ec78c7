"""The training itself: step by step, epoch by epoch, always ready to be killed."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from engines.training.batches import Batch, Batches
from engines.training.checkpoint import Checkpoint, save_checkpoint
from engines.training.device import halved
from engines.training.distillation import Distillation, Lesson
from engines.training.ema import Average
from engines.training.losses import Loss, detection_loss
from engines.training.muon import Muon
from engines.training.network import COLOURS, Convolution, Network
from engines.training.prefetch import prefetched
from engines.training.progress import Progress
from engines.training.schedule import Schedule
from streamer.errors import StreamerError

LAST, BEST = "last.pt", "best.pt"
_CLIP = 10.0  # longest gradient
_DECAY = 0.05  # of weights, per unit of learning rate; not of biases and normalisations


@dataclass(frozen=True, slots=True)
class Settings:
    """How a training is run, apart from its schedule.

    folder: for checkpoints. seed: of the fresh weights. absence: see detection_loss.
    validate_every: epochs. checkpoint_s: seconds between two checkpoints.
    stop: asked after each batch whether to save and end.
    ahead: whether a thread of its own makes the next batch, teacher included, while the network learns from this one.
    arguments: what the command was told, for the check when it goes on.
    """

    folder: Path
    absence: float
    validate_every: int
    checkpoint_s: float
    stop: Callable[[], bool]
    ahead: bool
    arguments: Mapping[str, str | int | float]


@dataclass(slots=True)
class State:
    """Where a training stands: `step` batches of epoch number `epoch` are done.

    distillation: the loss against a teacher that is asked about every cell, if there is one.
    history: one row per finished epoch: epoch, size, loss, classes, boxes, seconds, and AP, AP50 if measured.
    """

    network: Network
    average: Average
    optimizer: Any
    distillation: Distillation | None = None
    epoch: int = 0
    step: int = 0
    history: list[dict[str, float]] = field(default_factory=list)


Validate = Callable[[Network, int], Mapping[str, float]]
"""Figures of a network in eval mode at an input size, "AP50" among them."""

Teach = Callable[[Batch], Batch]
"""Adds a teacher's labels to a batch."""


class Trainer:
    """Trains a network on batches."""

    def __init__(
        self,
        settings: Settings,
        schedule: Schedule,
        batches: Batches,
        state: State,
        progress: Progress,
        validate: Validate | None = None,
        teach: Teach | None = None,
    ) -> None:
        self.state = state
        self._settings = settings
        self._schedule = schedule
        self._batches = batches
        self._progress = progress
        self._validate = validate
        self._teach = teach
        self._device = next(state.network.parameters()).device
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
        state, schedule = self.state, self._schedule
        size, mosaic = schedule.size_at(state.epoch), schedule.mosaic_at(state.epoch)
        sums, started = _Sums(self._device), time.monotonic()
        state.network.train()
        batches = self._batches.epoch(state.epoch, size, mosaic, state.step)
        for batch, lesson in prefetched(map(self._prepared, batches), self._settings.ahead):
            sums.add(self._step(batch, lesson))
            state.step += 1
            if self._progress.due():
                self._progress.step(state.epoch, state.step, sums.means()["loss"])
            if self._settings.stop():
                return False
            if time.monotonic() - self._saved > self._settings.checkpoint_s:
                self._save()
        self._finish(size, sums, time.monotonic() - started)
        return True

    def _prepared(self, batch: Batch) -> tuple[Batch, Lesson | None]:
        """With what the teacher says of it."""
        distillation = self.state.distillation
        return self._teach(batch) if self._teach else batch, distillation.lesson(batch.images) if distillation else None

    def _step(self, batch: Batch, lesson: Lesson | None) -> Loss:
        state = self.state
        rate = self._schedule.rate_at(state.epoch, state.step)
        for group in state.optimizer.param_groups:
            group["lr"] = rate
        images = batch.images.contiguous(memory_format=torch.channels_last)
        with halved(self._device):
            features = state.network.features(images)
            levels = state.network.answer(features)
        loss = detection_loss(levels, batch, self._settings.absence)
        if state.distillation and lesson:
            loss = replace(loss, total=loss.total + state.distillation(features, levels, batch, lesson))
        state.optimizer.zero_grad(set_to_none=True)
        loss.total.backward()
        nn.utils.clip_grad_norm_(state.network.parameters(), _CLIP)
        state.optimizer.step()
        state.average.update(state.network)
        return loss

    def _finish(self, size: int, sums: "_Sums", seconds: float) -> None:
        state = self.state
        row: dict[str, float] = {"epoch": state.epoch, "size": size, **sums.means(), "seconds": round(seconds, 1)}
        check_numbers(state.average.network, self._settings.folder, row["loss"])
        state.epoch, state.step = state.epoch + 1, 0
        last = state.epoch == self._schedule.epochs
        if self._validate and (state.epoch % self._settings.validate_every == 0 or last):
            row |= self._validate(state.average.network, size)
        best = max((past["AP50"] for past in state.history if "AP50" in past), default=0.0)
        if row["AP50"] >= best if "AP50" in row else last:
            save_checkpoint(self._settings.folder / BEST, self._checkpoint(None), half=True)
        state.history.append(row)
        self._save()
        self._progress.epoch(row)

    def _save(self) -> None:
        state = self.state
        check_numbers(state.average.network, self._settings.folder)
        training = {
            "network": state.network.state_dict(),
            "optimizer": state.optimizer.state_dict(),
            "distillation": state.distillation.state_dict() if state.distillation else {},
            "steps": state.average.steps,
            "epoch": state.epoch,
            "step": state.step,
            "history": state.history,
            "pictures": len(self._batches.pictures),
            "arguments": dict(self._settings.arguments),
        }
        save_checkpoint(self._settings.folder / LAST, self._checkpoint(training))
        self._saved = time.monotonic()

    def _checkpoint(self, training: Mapping[str, Any] | None) -> Checkpoint:
        network = self.state.average.network
        return Checkpoint(network.config, self._batches.names, self._schedule.sizes[-1], network.state_dict(), training)


Distil = Callable[[Network], Distillation]
"""Makes the loss of a network against its teacher."""


def new_state(network: Network, device: torch.device, distil: Distil | None = None) -> State:
    """The beginning of a training."""
    network = network.to(device, memory_format=torch.channels_last)
    distillation = distil(network) if distil else None
    return State(network, Average(network), optimizer_of(network, distillation), distillation)


def resumed_state(checkpoint: Checkpoint, device: torch.device, distil: Distil | None = None) -> State:
    """The training of a checkpoint, as it stood. `checkpoint.training` must not be None."""
    assert checkpoint.training is not None
    training = checkpoint.training
    average = Average(checkpoint.plain_network().to(device, memory_format=torch.channels_last), training["steps"])
    network = checkpoint.plain_network()
    network.load_state_dict(training["network"])
    network = network.to(device, memory_format=torch.channels_last)
    distillation = distil(network) if distil else None
    if distillation:
        distillation.load_state_dict(training["distillation"])
    optimizer = optimizer_of(network, distillation)
    optimizer.load_state_dict(training["optimizer"])
    history = list(training["history"])
    return State(network, average, optimizer, distillation, training["epoch"], training["step"], history)


def optimizer_of(network: nn.Module, distillation: Distillation | None = None) -> Muon:
    """Orthogonal steps for all convolutions but those at the network's ends; learning rates come later."""
    every = [*network.parameters(), *(distillation.parameters() if distillation else ())]
    blocks = [module[0] for module in network.modules() if isinstance(module, Convolution)]
    inside = [block.weight for block in blocks if block.in_channels > COLOURS]
    known = set(map(id, inside))
    others = [weights for weights in every if weights.ndim > 1 and id(weights) not in known]
    return Muon(inside, others, [weights for weights in every if weights.ndim <= 1], _DECAY)


def check_numbers(network: nn.Module, folder: Path, loss: float = 0.0) -> None:
    """Sees to it that no checkpoint is overwritten by weights that are lost.

    network: of averaged weights; what isn't a number once stays so in an average.

    Raises:
        StreamerError: the loss or a weight is no longer a number.
    """
    finite = torch.stack([weights.isfinite().all() for weights in network.parameters()]).all()
    if math.isfinite(loss) and finite:
        return
    last = folder / LAST
    start = f" --init {last} --output OTHER" if last.exists() else ""
    raise StreamerError(f"the loss is no longer a number; start again with a smaller --rate{start}")


class _Sums:
    """Sums of the losses of an epoch, kept on the device."""

    def __init__(self, device: torch.device) -> None:
        self._sums = torch.zeros(3, device=device)
        self._count = 0

    def add(self, loss: Loss) -> None:
        parts: list[Tensor] = [loss.total, loss.classes, loss.boxes]
        self._sums += torch.stack([part.detach() for part in parts])
        self._count += 1

    def means(self) -> dict[str, float]:
        total, classes, boxes = (self._sums / max(1, self._count)).tolist()
        return {"loss": round(total, 4), "classes": round(classes, 4), "boxes": round(boxes, 4)}
