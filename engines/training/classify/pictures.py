"""All pictures of a classifier's training in memory, stretched to the network's input as crops will be."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engines.classifier import stretched
from engines.training.classify.folders import ClassFolders, LabelledFile
from engines.training.picture_file import PictureError, PictureFile
from streamer.errors import UsageError


@dataclass(frozen=True, slots=True, eq=False)
class Pictures:
    """names: of the classes. files: (N,). values: uint8 (N, 3, size, size) RGB. kinds: int64 (N,), numbers of classes.

    problems: a line each.
    """

    names: tuple[str, ...]
    files: tuple[LabelledFile, ...]
    values: Tensor
    kinds: Tensor
    problems: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.files)


def load(folders: ClassFolders, size: int, device: torch.device) -> Pictures:
    """Decodes all pictures; broken ones are left out."""
    values = np.empty((len(folders.files), 3, size, size), np.uint8)

    def decode(number: int) -> str:
        path = folders.files[number].path
        try:
            stretched(PictureFile(path).pixels(), values[number])
        except PictureError as error:
            return f"{path} {error}: left out"
        return ""

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        told = list(pool.map(decode, range(len(folders.files))))
    sound = [number for number, line in enumerate(told) if not line]
    files = tuple(folders.files[number] for number in sound)
    problems = (*folders.problems, *filter(None, told))
    pixels = torch.from_numpy(values[sound]).to(device)
    return Pictures(folders.names, files, pixels, _kinds(files, device), problems)


def load_learnt(folders: ClassFolders, size: int, device: torch.device) -> Pictures:
    """As `load`, without the classes that have no picture.

    Raises:
        UsageError: fewer than two classes are left.
    """
    loaded = load(folders, size, device)
    there = sorted({file.kind for file in loaded.files})
    names = [loaded.names[kind] for kind in there]
    if len(names) < 2:
        told = f"only of {names[0]!r}" if names else "none"
        last = f" ({loaded.problems[-1]})" if loaded.problems else ""
        raise UsageError(f"pictures of two classes are needed at least, there are {told}{last}")
    lines = [f"class {name!r}: no picture of it: left out" for name in loaded.names if name not in names]
    files = tuple(LabelledFile(file.path, there.index(file.kind)) for file in loaded.files)
    problems = (*loaded.problems, *lines)
    return Pictures(tuple(names), files, loaded.values, _kinds(files, device), problems)


def _kinds(files: Sequence[LabelledFile], device: torch.device) -> Tensor:
    return torch.tensor([file.kind for file in files], dtype=torch.int64, device=device)
