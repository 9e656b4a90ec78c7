"""All pictures of a training in memory, letterboxed to one size: RAM for the CPU, GPU memory for CUDA."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engines.detections import Floats
from engines.letterbox import PAD_VALUE, Letterbox
from engines.training.dataset import Picture
from engines.training.picture_file import PictureError

_PART = 256  # pictures scaled at a time, to bound the memory that takes


@dataclass(frozen=True, slots=True, eq=False)
class Pixels:
    """values: uint8 (3, pictures, size, size) RGB; each picture at the upper left, the rest grey.

    sizes: float32 (pictures, 2), width and height of each within its square.
    """

    values: Tensor
    sizes: Floats

    @property
    def size(self) -> int:
        """Side of the squares."""
        return int(self.values.shape[-1])

    def scaled(self, size: int) -> "Pixels":
        """The same pictures smaller, each pixel the mean of what it covers; itself where the size is the same."""
        if size == self.size:
            return self
        shape = (3, self.values.shape[1], size, size)
        values = torch.empty(shape, dtype=torch.uint8, device=self.values.device)
        for start in range(0, shape[1], _PART):
            part = self.values[:, start : start + _PART].float()
            small = torch.nn.functional.interpolate(part, (size, size), mode="bilinear", antialias=True)
            values[:, start : start + _PART] = small.round_().clamp_(0, 255).to(torch.uint8)
        return Pixels(values, self.sizes * np.float32(size / self.size))


def load_pixels(pictures: Sequence[Picture], size: int, device: torch.device) -> tuple[Pixels, list[tuple[int, str]]]:
    """Decodes all pictures, scaled as for inference; also the numbers of those that are broken, and why.

    Two bytes more a pixel than a JPEG, but no decoding in every epoch: 0.3 MB a picture at 320.
    """
    letterbox = Letterbox(size, size, "top-left", 1)
    # Pictures are the second axis: four of them taken out are then one tall picture for `render`, without copying.
    values = torch.empty((3, len(pictures), size, size), dtype=torch.uint8)
    slots = values.numpy()

    def load(number: int) -> tuple[int, str] | None:
        picture = pictures[number]
        try:
            letterbox.prepare(picture.file.pixels(), (picture.width, picture.height), slots[:, number])
        except PictureError as error:
            slots[:, number] = PAD_VALUE
            return number, f"{picture.path} {error}: left out"
        return None

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        broken = [each for each in pool.map(load, range(len(pictures))) if each]
    inner = [letterbox.place(picture.width, picture.height)[2:] for picture in pictures]
    return Pixels(values.to(device), np.array(inner, np.float32)), broken


def scale_factors(pictures: Sequence[Picture], sizes: Floats) -> NDArray[np.float32]:
    """(pictures, 2): what boxes of pictures are multiplied by, x and y, where these are of `sizes`."""
    own = np.array([(picture.width, picture.height) for picture in pictures], np.float32)
    return sizes / own
