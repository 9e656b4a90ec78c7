"""The moving average of a network's weights, which finds more than the weights of any one step."""

import copy

import torch
from torch import nn

LONGEST = 5000  # steps that the average reaches back over at most


class Average:
    """A copy of a network that follows it slowly.

    After step n it moves by 9 / (10 + n) of the way: it reaches back over the last ninth of the training, so that the
    first steps, which are poor, are soon forgotten (Polyak and Juditsky 1992; the ramp is TensorFlow's).
    """

    def __init__(self, network: nn.Module, steps: int = 0) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.steps = steps

    def update(self, network: nn.Module) -> None:
        """Moves on, after a step of `network`."""
        self.steps += 1
        share = max(9 / (10 + self.steps), 1 / LONGEST)
        with torch.no_grad():
            mine, its = self.network.state_dict(), network.state_dict()
            floats = [key for key, value in mine.items() if value.dtype.is_floating_point]
            torch._foreach_lerp_([mine[key] for key in floats], [its[key] for key in floats], share)
