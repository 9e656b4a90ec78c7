"""The mean of several trainings' weights, which often finds more than any of them, at the cost of one.

Wortsman et al., "Model soups: averaging weights of multiple fine-tuned models improves accuracy without increasing
inference time", 2022. They must have grown out of the same training: of others' weights the mean is nothing.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from engines.training.checkpoint import Checkpoint, load_checkpoint
from streamer.errors import UsageError


def averaged(paths: Sequence[Path]) -> Checkpoint:
    """The checkpoint whose weights are the mean of these; its size is the first one's.

    Raises:
        ModelError: one is no checkpoint of a detector.
        UsageError: they are of different networks, or of different classes.
    """
    first, *others = [load_checkpoint(path) for path in paths]
    for path, other in zip(paths[1:], others, strict=True):
        if (other.config, other.names) != (first.config, first.names):
            what = "classes" if other.config == first.config else "a network"
            raise UsageError(f"{path} is of {what} other than {paths[0]}: there is no mean of the two")
    weights = {key: _mean([each.weights[key] for each in (first, *others)]) for key in first.weights}
    return Checkpoint(first.config, first.names, first.size, weights)


def _mean(values: Sequence[Tensor]) -> Tensor:
    """Of float32 values; whole numbers, which count steps, are the first one's."""
    if not values[0].is_floating_point():
        return values[0]
    return torch.stack(list(values)).double().mean(0).to(values[0].dtype)
