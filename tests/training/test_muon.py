"""The optimiser: orthogonal steps inside of a network, AdamW's at its ends, and the same again from a checkpoint."""

import copy

import pytest
import torch
from torch import Tensor, nn

from engines.training.muon import LENGTH, Muon, orthogonal
from engines.training.network import NetworkConfig, build_network
from engines.training.trainer import optimizer_of
from streamer.errors import UsageError


def weights(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape))))


@pytest.mark.parametrize("shape", [(8, 8), (4, 36), (36, 4), (1, 9), (16, 144)])
def test_all_directions_become_equally_long(shape: tuple[int, int]) -> None:
    # A gradient with one direction a thousand times as long as the others.
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    u, s, v = torch.linalg.svd(matrix, full_matrices=False)
    s[0] *= 1000 if len(s) > 1 else 1
    lengths = torch.linalg.svdvals(orthogonal(u @ torch.diag(s.clamp(min=50)) @ v))
    assert lengths.max() / lengths.min() < 2
    step = orthogonal(matrix)
    assert step.square().mean().sqrt() == pytest.approx(LENGTH, rel=0.35)


def test_directions_are_kept() -> None:
    matrix = torch.diag(torch.tensor([3.0, 2.0, -1.0]))
    step = orthogonal(matrix)
    assert torch.equal(step.sign(), matrix.sign())


def test_no_gradient_no_step() -> None:
    moved, still = weights(4, 4), weights(4, 4)
    before = still.detach().clone()
    optimizer = Muon([moved, still], [], [], decay=0.1)
    optimizer.param_groups[0]["lr"] = 0.1
    moved.square().sum().backward()
    optimizer.step()
    assert torch.equal(still, before)
    assert torch.isfinite(orthogonal(torch.zeros(3, 5))).all()


def test_the_ends_of_a_network_are_learnt_as_by_adamw() -> None:
    matrix, bias = weights(3, 5), weights(3)
    theirs = copy.deepcopy((matrix, bias))
    ours = Muon([], [matrix], [bias], decay=0.05)
    groups = [{"params": [theirs[0]], "weight_decay": 0.05}, {"params": [theirs[1]], "weight_decay": 0.0}]
    reference = torch.optim.AdamW(groups, lr=0.0)
    for number in range(5):
        for (w, b), optimizer in (((matrix, bias), ours), (theirs, reference)):
            for group in optimizer.param_groups:
                group["lr"] = 0.01 * (number + 1)
            optimizer.zero_grad()
            ((w.sum(1) * 3 + b).sin().sum() + w.square().sum()).backward()
            optimizer.step()
    assert torch.allclose(matrix, theirs[0], atol=1e-6)
    assert torch.allclose(bias, theirs[1], atol=1e-6)


def test_it_goes_on_from_its_state_as_if_nothing_had_been() -> None:
    def steps(network: nn.Module, optimizer: torch.optim.Optimizer, first: int, last: int) -> None:
        for number in range(first, last):
            for group in optimizer.param_groups:
                group["lr"] = 0.01
            images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(number))
            optimizer.zero_grad()
            sum(level.square().mean() for level in network(images)).backward()  # type: ignore[union-attr]
            optimizer.step()

    torch.manual_seed(0)
    whole = build_network(NetworkConfig(2))
    first = optimizer_of(whole)
    steps(whole, first, 0, 2)
    other = copy.deepcopy(whole)
    again = optimizer_of(other)
    again.load_state_dict(copy.deepcopy(first.state_dict()))
    steps(whole, first, 2, 4)
    steps(other, again, 2, 4)
    assert all(torch.equal(mine, its) for mine, its in zip(whole.parameters(), other.parameters(), strict=True))


def test_what_another_optimiser_left_is_refused() -> None:
    matrix = weights(3, 5)
    before = torch.optim.AdamW([matrix]).state_dict()
    with pytest.raises(UsageError, match="go on from its weights, --init"):
        Muon([matrix], [weights(3, 2)], [], decay=0.1).load_state_dict(before)


def test_every_weight_of_a_network_is_learnt_once_and_only_convolutions_inside_are_orthogonal() -> None:
    network = build_network(NetworkConfig(2))
    groups = optimizer_of(network).param_groups
    learnt: list[Tensor] = [each for group in groups for each in group["params"]]
    assert {id(each) for each in learnt} == {id(each) for each in network.parameters()}
    assert len(learnt) == len({id(each) for each in learnt})
    inside = {id(each) for group in groups if group["orthogonal"] for each in group["params"]}
    names = {name for name, each in network.named_parameters() if id(each) in inside}
    assert "backbone.stages.1.0.0.weight" in names
    assert "neck.enter.0.0.weight" in names
    assert "backbone.stem.0.weight" not in names
    assert not any(name.startswith(("classes.0.1", "boxes.0.1")) or name.endswith("bias") for name in names)
