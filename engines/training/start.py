"""The network that a training starts with: a fresh one, or what another training has learnt."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from engines.training.checkpoint import Checkpoint, load_checkpoint
from engines.training.network import STRIDES, Network, NetworkConfig, build_network


def first_network(init: Path | None, names: Sequence[str]) -> Network:
    """A fresh network, or one of the sizes and weights in `init`; of its classes those that are among `names`.

    Raises:
        ModelError: `init` can't be read.
    """
    if init is None:
        return build_network(NetworkConfig(len(names)))
    start = load_checkpoint(init)
    network = build_network(replace(start.config, classes=len(names)))
    network.load_state_dict(dict(start.weights) | _class_layers(start, network, names))
    return network


def _class_layers(start: Checkpoint, network: Network, names: Sequence[str]) -> dict[str, Tensor]:
    """The last layers of the branches for classes: the rows of classes that both have, by name; the others afresh."""
    shared = [name for name in names if name in start.names]
    here, there = [names.index(name) for name in shared], [start.names.index(name) for name in shared]
    fresh, found = network.state_dict(), {}
    for key in (f"classes.{level}.1.{part}" for level in range(len(STRIDES)) for part in ("weight", "bias")):
        found[key] = fresh[key].clone()
        found[key][here] = start.weights[key][there]
    return found
