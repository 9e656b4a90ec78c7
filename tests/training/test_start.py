"""What a training takes over from the weights that it starts from."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from engines.training.checkpoint import Checkpoint, save_checkpoint
from engines.training.network import PRIOR, STRIDES, Network, NetworkConfig, build_network
from engines.training.start import first_network

OLD = ("box", "disc")
CONFIG = NetworkConfig(len(OLD), 4, (4, 4, 4, 4), (0, 1, 1, 1), 4, 4)


@pytest.fixture
def old() -> Network:
    network = build_network(CONFIG)
    for branch in network.classes:
        torch.nn.init.normal_(branch[-1].bias)
    return network


@pytest.fixture
def file(old: Network, tmp_path: Path) -> Path:
    path = tmp_path / "old.pt"
    save_checkpoint(path, Checkpoint(CONFIG, OLD, 64, old.state_dict()))
    return path


def rows(network: Network, number: int) -> list[Tensor]:
    """What decides on a class: the weights and the bias of its row in the last layers."""
    return [part[number] for branch in network.classes for part in (branch[-1].weight, branch[-1].bias)]


def same(one: list[Tensor], other: list[Tensor]) -> list[bool]:
    return [torch.equal(*pair) for pair in zip(one, other, strict=True)]


@pytest.mark.parametrize(
    "names",
    [OLD, ("disc", "box"), ("cat", "dog"), ("dog", "box"), ("cat", "disc", "dog", "box"), ("disc",)],
    ids=",".join,
)
def test_classes_are_taken_over_by_their_names(old: Network, file: Path, names: tuple[str, ...]) -> None:
    network = first_network(file, names)

    assert network.config.classes == len(names)
    for number, name in enumerate(names):
        if name in OLD:
            assert all(same(rows(network, number), rows(old, OLD.index(name))))
        else:
            assert not any(same(rows(network, number), rows(old, 0)) + same(rows(network, number), rows(old, 1)))
            biases = torch.stack([branch[-1].bias[number] for branch in network.classes])
            torch.testing.assert_close(biases.sigmoid(), torch.full((len(STRIDES),), PRIOR))
    told = old.state_dict()
    last = [f"classes.{level}.1." for level in range(len(STRIDES))]
    rest = {key: value for key, value in network.state_dict().items() if not key.startswith(tuple(last))}
    assert all(torch.equal(value, told[key]) for key, value in rest.items())
