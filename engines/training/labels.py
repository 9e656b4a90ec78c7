"""The boxes of a batch: those of its pictures, where these were put."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engines.detections import Floats, Ints
from engines.training.augment import Flags, Placed
from engines.training.dataset import Picture

_VISIBLE = 0.35  # part of a box that must be left for it to count as an object still
_GONE = 0.05  # with less than this left, nothing is there to be ignored either
_SMALLEST = 3.0  # pixels: what is thinner was made so by scaling, and no cell of the network could tell it


@dataclass(frozen=True, slots=True, eq=False)
class Boxes:
    """Boxes in pixels, N of them.

    owner: int64 (N,), whose they are. boxes: float32 (N, 4). classes: int64 (N,). scores: float32 (N,).
    ignore: bool (N,), neither object nor background.
    """

    owner: Ints
    boxes: Floats
    classes: Ints
    scores: Floats
    ignore: Flags

    def __getitem__(self, chosen: Ints | Flags) -> "Boxes":
        return Boxes(
            self.owner[chosen], self.boxes[chosen], self.classes[chosen], self.scores[chosen], self.ignore[chosen]
        )

    def ignoring(self, more: Flags) -> "Boxes":
        """The same, with `more` of them ignored."""
        return Boxes(self.owner, self.boxes, self.classes, self.scores, self.ignore | more)


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """The boxes of all pictures of the data, one after the other.

    first: int64 (pictures + 1,), where each picture's begin.
    """

    every: Boxes
    first: Ints

    def scaled(self, factors: Floats) -> "Labels":
        """The same for pictures scaled by factors (pictures, 2) in x and y."""
        boxes = self.every.boxes * np.tile(factors, 2)[self.every.owner]
        return Labels(
            Boxes(self.every.owner, boxes, self.every.classes, self.every.scores, self.every.ignore), self.first
        )

    def project(self, placed: Placed) -> Boxes:
        """What is seen of the boxes of placed pictures, in input pixels; `owner` is the input, in rising order if the
        placed pictures' is. Rests too small to be told are ignored.
        """
        begin, end = self.first[placed.index], self.first[placed.index + 1]
        which = np.repeat(np.arange(len(begin)), end - begin)
        found = self.every[ranges(begin, end)]
        scale, shift = np.tile(placed.scale, 2)[which], np.tile(placed.shift, 2)[which]
        boxes = np.where(placed.turned[which, None], found.boxes[:, [1, 0, 3, 2]], found.boxes)
        whole = boxes * scale + shift
        whole = np.concatenate([np.minimum(whole[:, :2], whole[:, 2:]), np.maximum(whole[:, :2], whole[:, 2:])], 1)
        rect = placed.rect[which]
        seen = np.concatenate([np.maximum(whole[:, :2], rect[:, :2]), np.minimum(whole[:, 2:], rect[:, 2:])], 1)
        part = areas(seen) / np.maximum(areas(whole), 1e-6)
        thin = np.min(seen[:, 2:] - seen[:, :2], axis=1, initial=np.inf) < _SMALLEST
        ignore = found.ignore | (part < _VISIBLE) | (thin & (np.abs(scale[:, 0]) < 0.95))
        kept = (part >= _GONE) & (areas(seen) > 1)
        return Boxes(placed.owner[which], seen, found.classes, found.scores, ignore)[kept]


def gather(pictures: Sequence[Picture], classes: Sequence[Ints]) -> Labels:
    """The labels of pictures; classes: each one's, numbered as the network's are."""
    counts = np.array([len(picture.classes) for picture in pictures], np.int64)
    every = Boxes(
        np.repeat(np.arange(len(pictures)), counts),
        np.concatenate([picture.boxes for picture in pictures]),
        np.concatenate(classes),
        np.concatenate([picture.scores for picture in pictures]),
        np.concatenate([picture.crowd for picture in pictures]),
    )
    return Labels(every, np.concatenate([[0], np.cumsum(counts)]))


def joined(parts: Sequence[Boxes]) -> Boxes:
    """All boxes, in the order of their owners."""
    whole = Boxes(
        np.concatenate([part.owner for part in parts]),
        np.concatenate([part.boxes for part in parts]),
        np.concatenate([part.classes for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.ignore for part in parts]),
    )
    return whole[np.argsort(whole.owner, kind="stable")]


def padded(found: Boxes, inputs: int) -> tuple[Floats, Ints, Floats, Flags]:
    """Boxes (B, M, 4), classes (B, M), scores (B, M) and ignore (B, M) of boxes in the order of their owners.

    M: the most that one input has, at least 1; classes of unused places are -1.
    """
    counts = np.bincount(found.owner, minlength=inputs)
    most = max(1, int(counts.max(initial=0)))
    place = np.arange(len(found.owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    boxes, classes = np.zeros((inputs, most, 4), np.float32), np.full((inputs, most), -1, np.int64)
    scores, ignore = np.zeros((inputs, most), np.float32), np.zeros((inputs, most), np.bool_)
    where = found.owner, place
    boxes[where], classes[where], scores[where], ignore[where] = found.boxes, found.classes, found.scores, found.ignore
    return boxes, classes, scores, ignore


def areas(boxes: NDArray[np.float32]) -> Floats:
    """Of boxes (..., 4), 0 where there is no inside."""
    sides = np.maximum(boxes[..., 2:] - boxes[..., :2], 0)
    found: Floats = sides[..., 0] * sides[..., 1]
    return found


def ranges(begin: Ints, end: Ints) -> Ints:
    """All numbers of [begin, end) of each pair, one after the other."""
    counts = end - begin
    found: Ints = np.arange(counts.sum()) + np.repeat(begin - np.cumsum(counts) + counts, counts)
    return found
