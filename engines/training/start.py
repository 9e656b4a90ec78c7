"""The network that a training starts with: a fresh one, or what another training has learnt."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from torch import Tensor, nn

from engines.training.checkpoint import load_checkpoint
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
    last = [f"classes.{level}.1.{part}" for level in range(len(STRIDES)) for part in ("weight", "bias")]
    network.load_state_dict(dict(start.weights) | learnt_rows(network, start.weights, last, start.names, names))
    return network


def learnt_rows(
    network: nn.Module, weights: Mapping[str, Tensor], keys: Sequence[str], before: Sequence[str], names: Sequence[str]
) -> dict[str, Tensor]:
    """The parts `keys` of the network, with a row for each class: those of classes that both have, by name, as learnt;
    the others afresh.

    weights, before: what was learnt, and of which classes. names: of the network's.
    """
    shared = [name for name in names if name in before]
    here, there = [names.index(name) for name in shared], [before.index(name) for name in shared]
    fresh, found = network.state_dict(), {}
    for key in keys:
        found[key] = fresh[key].clone()
        found[key][here] = weights[key][there]
    return found
