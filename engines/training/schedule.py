"""What changes over a training: learning rate, picture size, mosaic. Functions of where it stands, nothing else."""

import math
from dataclasses import dataclass

LARGEST_SIDE = 4096
"""Pixels, side of a network's input: one limit for what is trained, exported and read."""

LAST_RATE = 0.02  # of the highest learning rate
SINGLE_PICTURES = 0.15  # share of the epochs, at the end, without mosaic: pictures as they will be (YOLOX)
_SIZE_SHARES = {1: (1.0,), 2: (0.5, 0.5), 3: (0.3, 0.35, 0.35)}


@dataclass(frozen=True, slots=True)
class Schedule:
    """Of a training.

    epochs: how many. steps: batches per epoch.
    rate: the highest learning rate. warm_up: steps until it is reached.
    sizes: sides of the network's input in pixels, small to large: small ones teach much in little time.
    """

    epochs: int
    steps: int
    rate: float
    warm_up: int
    sizes: tuple[int, ...]

    def rate_at(self, epoch: int, step: int) -> float:
        """Learning rate: rising linearly, then falling along a cosine (Loshchilov and Hutter, arXiv:1608.03983)."""
        done = epoch * self.steps + step
        if done < self.warm_up:
            return self.rate * (done + 1) / self.warm_up
        share = (done - self.warm_up) / max(1, self.epochs * self.steps - self.warm_up)
        return self.rate * (LAST_RATE + (1 - LAST_RATE) * (1 + math.cos(math.pi * share)) / 2)

    def size_at(self, epoch: int) -> int:
        """Side of the network's input: each size has its part of the epochs, the last one always the end."""
        if epoch >= self.epochs - 1:
            return self.sizes[-1]
        share, bound = (epoch + 0.5) / self.epochs, 0.0
        shares = _SIZE_SHARES.get(len(self.sizes)) or (1 / len(self.sizes),) * len(self.sizes)
        for size, part in zip(self.sizes[:-1], shares, strict=False):
            bound += part
            if share < bound:
                return size
        return self.sizes[-1]

    def mosaic_at(self, epoch: int) -> bool:
        """Whether pictures are put together."""
        return epoch < self.epochs - math.ceil(self.epochs * SINGLE_PICTURES)

    def work_until(self, epoch: int, step: int = 0) -> int:
        """Pixels of one input each that the batches before this one have, together: what time goes with."""
        done = sum(self.steps * self.size_at(past) ** 2 for past in range(epoch))
        return done + (step * self.size_at(epoch) ** 2 if step else 0)
