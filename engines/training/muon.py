"""The optimiser: orthogonal steps for the convolutions inside of a network, Adam's for all else."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from streamer.errors import UsageError

MOMENTUM = 0.95  # of the convolutions' gradients
BETAS, EPSILON = (0.9, 0.999), 1e-8  # Adam's
LENGTH = 0.2  # root mean square of an orthogonal step, as Adam's steps have: one learning rate serves both
_ROUNDS = 5
_POLYNOMIAL = 3.4445, -4.7750, 2.0315


class Muon(torch.optim.Optimizer):
    """Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon), with AdamW beside it.

    The gradient of a convolution has few large directions, and a step along them leaves most of what it could learn
    unlearnt. Here its running mean, as a matrix of outputs by what they see, is replaced by the nearest one with
    orthogonal rows, scaled as in Liu et al. 2025 (arXiv:2502.16982), so that AdamW's learning rate and decay fit.

    Args:
        convolutions: weights of two or more dimensions, outputs first, of the layers inside of the network.
        weights: of its first and last layers. rest: biases and normalisations, which don't decay.
        decay: of weights, per unit of learning rate.
    """

    def __init__(
        self, convolutions: Iterable[Tensor], weights: Iterable[Tensor], rest: Iterable[Tensor], decay: float
    ) -> None:
        groups = [
            {"params": list(convolutions), "orthogonal": True, "weight_decay": decay},
            {"params": list(weights), "orthogonal": False, "weight_decay": decay},
            {"params": list(rest), "orthogonal": False, "weight_decay": 0.0},
        ]
        super().__init__([group for group in groups if group["params"]], {"lr": 0.0})

    def step(self, closure: Any = None) -> None:
        """One step by the gradients that are there; weights without one stay."""
        with torch.no_grad():
            for group in self.param_groups:
                weights = [each for each in group["params"] if each.grad is not None]
                if weights:
                    torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
                    steps = self._orthogonal(weights) if group["orthogonal"] else self._adam(weights)
                    torch._foreach_add_(weights, steps, alpha=-group["lr"])

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """See torch.

        Raises:
            UsageError: it is of another optimiser, as in checkpoints of streamer 0.1.
        """
        if len(state_dict["param_groups"]) != len(self.param_groups):
            raise UsageError(
                "this training was begun by an older version: go on from its weights, --init LAST.PT --output OTHER"
            )
        super().load_state_dict(state_dict)

    def _orthogonal(self, weights: list[Tensor]) -> list[Tensor]:
        means = [self._state(each, "mean") for each in weights]
        gradients = [each.grad for each in weights]
        torch._foreach_lerp_(means, gradients, 1 - MOMENTUM)
        # Nesterov: as far as the mean would be one gradient later.
        ahead = torch._foreach_lerp(gradients, means, MOMENTUM)
        return [orthogonal(each.flatten(1)).view_as(each) for each in ahead]

    def _adam(self, weights: list[Tensor]) -> list[Tensor]:
        steps, (first, second) = [], BETAS
        for each in weights:
            mean, square = self._state(each, "mean"), self._state(each, "square")
            state = self.state[each]
            state["steps"] = state.get("steps", 0) + 1
            mean.lerp_(each.grad, 1 - first)
            square.mul_(second).addcmul_(each.grad, each.grad, value=1 - second)
            scale = (square / (1 - second ** state["steps"])).sqrt_().add_(EPSILON)
            steps.append(mean / (1 - first ** state["steps"]) / scale)
        return steps

    def _state(self, weights: Tensor, name: str) -> Tensor:
        state = self.state[weights]
        if name not in state:
            state[name] = torch.zeros_like(weights)
        found: Tensor = state[name]
        return found


def orthogonal(matrix: Tensor) -> Tensor:
    """About the nearest matrix whose rows (or columns, if those are fewer) are orthogonal and of one length.

    matrix: float32 (outputs, inputs). The result's root mean square is about LENGTH.

    Newton and Schulz's iteration, with coefficients that bring singular values to .7 to 1.2 within five rounds.
    """
    high, wide = matrix.shape
    turned = matrix.T if high > wide else matrix
    found = turned / (turned.norm() + 1e-7)
    a, b, c = _POLYNOMIAL
    for _ in range(_ROUNDS):
        square = found @ found.T
        found = a * found + torch.addmm(square, square, square, beta=b, alpha=c) @ found
    found = found.T if high > wide else found
    return found * (LENGTH * max(high, wide) ** 0.5)
