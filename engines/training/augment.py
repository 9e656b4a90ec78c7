"""Where the pictures of a batch go: mosaics, scales, shifts and flips, drawn by lot for a whole batch at once.

Only geometry, in NumPy; the pixels follow in `render`, the boxes in `labels`. Mosaic: Bochkovskiy et al., YOLOv4,
2020, with tiles that show any part of their picture and not only the corner next to the middle. Small networks
learn better from fewer mosaics and milder scales than large ones (Ge et al., YOLOX, 2021), hence the defaults.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from engines.detections import Floats, Ints

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How far pictures are changed. Probabilities are 0 to 1; of ranges, every factor is as likely as its inverse.

    mosaic: probability that a picture comes with three others.
    scale, tile_scale: smallest and largest size of a single picture, and of a mosaic's, against its letterboxed size.
    stretch: width against height changes by up to this factor - 1. flip: probability of being mirrored.
    turn: (source, probability) of a quarter turn to the left or the right, for pictures of cameras held anyhow.
    hue: turn, in parts of the colour circle. saturation, contrast, brightness, balance (of the three colours
    against each other): by up to these factors - 1. grey, blur, noise: probabilities.
    paste: (from, to) sources: objects of the one are pasted into pictures of the other. pastes: their probability.
    """

    mosaic: float = 0.5
    scale: tuple[float, float] = (0.65, 1.35)
    tile_scale: tuple[float, float] = (0.4, 1.0)
    stretch: float = 0.12
    flip: float = 0.5
    turn: tuple[tuple[str, float], ...] = ()
    hue: float = 0.02
    saturation: float = 0.5
    contrast: float = 0.3
    brightness: float = 0.3
    balance: float = 0.06
    grey: float = 0.03
    blur: float = 0.1
    noise: float = 0.05
    paste: tuple[tuple[str, str], ...] = ()
    pastes: float = 0.5

    @classmethod
    def none(cls) -> "Augmentation":
        """Pictures as inference sees them: letterboxed, in the middle."""
        unchanged = {field.name: 0.0 for field in fields(cls) if field.type == "float" or field.type is float}
        return cls(**unchanged, scale=(1.0, 1.0))  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """Pictures in a batch, K of them: parts of a mosaic, or pasted ones.

    owner: int64 (K,), which of the batch's inputs. index: int64 (K,), which of the data's pictures.
    scale, shift: float32 (K, 2), x and y: input pixel = scale * letterboxed pixel + shift; a negative scale flips.
    rect: float32 (K, 4), left, top, right, bottom: the part of the input that it is shown in.
    turned: bool (K,), x and y are exchanged before all that.
    """

    owner: Ints
    index: Ints
    scale: Floats
    shift: Floats
    rect: Floats
    turned: Flags

    def __getitem__(self, chosen: Ints | Flags | slice) -> "Placed":
        return Placed(*(getattr(self, field.name)[chosen] for field in fields(self)))

    def sizes(self, every: Floats) -> Floats:
        """(K, 2): width and height of the pictures as they are shown but for the scale; every: of all pictures."""
        own = every[self.index]
        found: Floats = np.where(self.turned[:, None], own[:, ::-1], own)
        return found

    @classmethod
    def joined(cls, parts: Sequence["Placed"]) -> "Placed":
        """All of them, in the order of their owners."""
        whole = cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))
        return whole[np.argsort(whole.owner, kind="stable")]

    @classmethod
    def nothing(cls) -> "Placed":
        """None."""
        none, pair = np.empty(0, np.int64), np.empty((0, 2), np.float32)
        return cls(none, none, pair, pair, np.empty((0, 4), np.float32), np.empty(0, np.bool_))


def place_tiles(
    random: np.random.Generator, index: Ints, sizes: Floats, turns: Floats, size: int, wanted: Augmentation
) -> Placed:
    """The tiles of a batch, in the order input, tile: upper left, upper right, lower left, lower right.

    Inputs with a mosaic come first; the others show the first of their tiles only.

    index: (B, T), T 4, or 1 for no mosaics. sizes: (pictures, 2) width and height of all letterboxed pictures.
    turns: (pictures,) probabilities of a quarter turn. size: of the square input.
    """
    inputs, tiles = index.shape
    many = np.sort(random.random(inputs) < (wanted.mosaic if tiles > 1 else 0))[::-1]
    rect = _rects(random, many, tiles, size)
    scale = _scales(random, many, tiles, wanted)
    turned = random.random((inputs, tiles)) < turns[index]
    shown = np.where(turned[..., None], sizes[index][..., ::-1], sizes[index]) * scale
    free = rect[..., 2:] - rect[..., :2] - shown
    centred = wanted == Augmentation.none()
    shift = rect[..., :2] + (free // 2 if centred else free * random.random(free.shape))  # as engines.letterbox
    flipped = _flips(random, turned, wanted.flip)
    shift += np.where(flipped, shown, 0)
    scale *= np.where(flipped, -1, 1)
    owner = np.repeat(np.arange(inputs), tiles)
    scale, shift, rect = (part.reshape(inputs * tiles, -1).astype(np.float32) for part in (scale, shift, rect))
    return Placed(owner, index.reshape(-1), scale, shift, rect, turned.reshape(-1))


def _flips(random: np.random.Generator, turned: Flags, flip: float) -> Flags:
    """(B, T, 2): which tiles are flipped in x and in y, once x and y of the turned ones are exchanged.

    That exchange mirrors a picture, with its top at the left: a turn is that and one flip, in x if to the right, in y
    if to the left; with none or both it stays mirrored.
    """
    mirrored = random.random(turned.shape) < flip
    right = turned & (random.random(turned.shape) < 0.5)
    return np.stack([np.where(turned, right, mirrored), turned & (right == mirrored)], -1)


def _rects(random: np.random.Generator, many: Flags, tiles: int, size: int) -> Floats:
    """(B, T, 4): where the tiles are; empty for those of an input without a mosaic but the first."""
    middle = np.round(random.uniform(0.35, 0.65, (len(many), 2)) * size)
    middle[~many] = size
    x, y = middle.T
    low, high = np.zeros(len(many)), np.full(len(many), size)
    rects = [(low, low, x, y), (x, low, high, y), (low, y, x, high), (x, y, high, high)]
    return np.array(rects[:tiles], np.float32).transpose(2, 0, 1)


def _scales(random: np.random.Generator, many: Flags, tiles: int, wanted: Augmentation) -> Floats:
    """(B, T, 2): of each tile, in x and y."""
    ranges = np.where(many[:, None], wanted.tile_scale, wanted.scale)
    low, high = np.log(ranges).T[..., None]
    scale = np.exp(random.uniform(0, 1, (len(many), tiles)) * (high - low) + low)
    stretch = factors(random, wanted.stretch, (len(many), tiles)) ** 0.5
    return np.stack([scale * stretch, scale / stretch], -1).astype(np.float32)


def factors(random: np.random.Generator, most: float, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Factors between 1 / (1 + most) and 1 + most."""
    limit = np.log1p(most)
    drawn: NDArray[np.float64] = np.exp(random.uniform(-limit, limit, shape))
    return drawn
