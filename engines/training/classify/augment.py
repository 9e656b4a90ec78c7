"""Pictures of a batch changed by lot, all at once: a little larger, smaller, aside, mirrored, brighter, greyer."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from engines.training.augment import factors


@dataclass(frozen=True, slots=True)
class Change:
    """How far pictures are changed; of factors, every one is as likely as its inverse.

    scale: by up to this factor - 1; stretch: width against height. shift: by up to this share of the picture.
    contrast, brightness, saturation: by up to these factors - 1. flip: probability of left and right exchanged.
    """

    scale: float = 0.2
    stretch: float = 0.15
    shift: float = 0.08
    contrast: float = 0.3
    brightness: float = 0.3
    saturation: float = 0.5
    flip: float = 0.5


def changed(pictures: Tensor, random: np.random.Generator, wanted: Change) -> Tensor:
    """uint8 (B, 3, S, S) to float32 of the same shape, 0 to 1. What lies outside of a picture repeats its border."""
    images = pictures.float() / 255
    grid = F.affine_grid(
        _places(random, len(images), wanted).to(images.device), list(images.shape), align_corners=False
    )
    moved = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    return _coloured(moved, random, wanted)


def _places(random: np.random.Generator, count: int, wanted: Change) -> Tensor:
    """(B, 2, 3): from where each pixel is taken, in coordinates from -1 to 1."""
    scale, stretch = factors(random, wanted.scale, (count,)), factors(random, wanted.stretch, (count,)) ** 0.5
    mirror = np.where(random.random(count) < wanted.flip, -1, 1)
    places = np.zeros((count, 2, 3), np.float32)
    places[:, 0, 0], places[:, 1, 1] = mirror * scale * stretch, scale / stretch
    places[:, :, 2] = random.uniform(-2 * wanted.shift, 2 * wanted.shift, (count, 2))
    return torch.from_numpy(places)


def _coloured(images: Tensor, random: np.random.Generator, wanted: Change) -> Tensor:
    most = (wanted.contrast, wanted.brightness, wanted.saturation)
    drawn = [factors(random, limit, (len(images), 1, 1, 1)).astype(np.float32) for limit in most]
    contrast, brightness, saturation = (torch.from_numpy(each).to(images.device) for each in drawn)
    grey = images.mean(1, keepdim=True)
    coloured = grey + (images - grey) * saturation
    middle = grey.mean((2, 3), keepdim=True)
    return ((middle + (coloured - middle) * contrast) * brightness).clamp_(0, 1)
