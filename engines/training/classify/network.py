"""The network of a classifier: convolutions and pooling, and one dense layer, as small pictures want it.

From VGG (Simonyan and Zisserman 2014, arXiv:1409.1556) its pairs of 3x3 convolutions between poolings, from Network in
Network (Lin et al. 2013, arXiv:1312.4400) the mean over all places before the dense layer, which then needs few weights
and is not tied to a size. The first stage has one convolution only: it works on the most pixels.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from engines.training.network import COLOURS, Convolution

_MOMENTUM = 0.1  # of the running means; a detector's, .03, comes too late where a training has a few hundred steps


@dataclass(frozen=True, slots=True)
class ClassifierConfig:
    """Sizes of a network.

    classes: how many. widths: channels of the stages; each but the last ends with half the height and width.
    dropout: share of the features that are left out in training (Srivastava et al. 2014).
    """

    classes: int
    widths: tuple[int, ...] = (24, 48, 96, 128)
    dropout: float = 0.2


class ClassifierNetwork(nn.Module):
    """Pictures to one number per class."""

    def __init__(self, config: ClassifierConfig) -> None:
        super().__init__()
        self.config = config
        first, *widths = config.widths
        self.stages = nn.Sequential(Convolution(COLOURS, first, 3))
        for inputs, width in zip(config.widths, widths, strict=False):
            self.stages.extend([nn.MaxPool2d(2), Convolution(inputs, width, 3), Convolution(width, width, 3)])
        self.mean = nn.AdaptiveAvgPool2d(1)
        self.flat = nn.Flatten()
        self.dropout = nn.Dropout(config.dropout)
        self.dense = nn.Linear(config.widths[-1], config.classes)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = _MOMENTUM

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) RGB, 0 to 1, to logits (B, classes)."""
        return self.dense(self.dropout(self.flat(self.mean(self.stages(images)))))

    def probabilities(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) to (B, classes): exp z / Σ exp z of the logits z."""
        return torch.softmax(self(images), 1)
