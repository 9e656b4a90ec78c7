"""Objects of one source pasted into pictures of another, which has none of their classes labelled or few at all.

After Dwibedi et al., Cut, Paste and Learn, 2017: the edge is blended, else the network learns to find edges. A box
is pasted with what is around the object in it, as no outlines are known.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engines.detections import Floats, Ints
from engines.training.augment import Augmentation, Flags, Placed
from engines.training.labels import Boxes, Labels, areas

_MARGIN = 0.06  # of the box's sides, kept around it for the blended edge
_SIDES = (0.04, 0.6)  # of the input: the longer side of a pasted object
_ENLARGED = 1.25  # at most; beyond, it would be blurred
_SMALLEST = 8.0  # pixels: the longer side of what is worth pasting
_DONOR_SIDE = 20.0  # pixels: the shorter side of a box that is worth cutting out


@dataclass(frozen=True, slots=True, eq=False)
class Donors:
    """What can be pasted, and where.

    boxes: int64 (D,), positions in the labels, class after class. first: int64 (K + 1,), where each class begins.
    hosts: bool (pictures,), into which.
    """

    boxes: Ints
    first: Ints
    hosts: Flags

    def choose(self, random: np.random.Generator, count: int) -> Ints:
        """Positions of `count` boxes, each class as often as any other."""
        kind = random.integers(0, len(self.first) - 1, count)
        begin, end = self.first[kind], self.first[kind + 1]
        chosen: Ints = self.boxes[begin + (random.random(count) * (end - begin)).astype(np.int64)]
        return chosen


def find_donors(labels: Labels, sources: Sequence[str], known: Flags, paste: tuple[str, str]) -> Donors | None:
    """Donors of a (from, to) pair of sources; None where there is nothing to paste or nowhere to.

    Classes that are labelled throughout in the hosts aren't pasted, unless all are: they have their own.
    sources: of each picture. known: bool (pictures, classes), whose absence is certain.
    """
    named = np.array(sources)
    hosts, every = named == paste[1], labels.every
    if not hosts.any():
        return None
    certain = known[hosts].all(axis=0)
    certain &= not certain.all()
    sides = every.boxes[:, 2:] - every.boxes[:, :2]
    good = (named == paste[0])[every.owner] & ~every.ignore & (every.scores == 1) & (sides.min(axis=1) >= _DONOR_SIDE)
    good &= ~certain[every.classes]
    boxes = np.flatnonzero(good)
    boxes = boxes[np.argsort(every.classes[boxes], kind="stable")]
    counts = np.bincount(every.classes[boxes])
    counts = counts[counts > 0]
    return Donors(boxes, np.concatenate([[0], np.cumsum(counts)]), hosts) if len(boxes) else None


def place_pastes(
    random: np.random.Generator, donors: Donors, labels: Labels, sizes: Floats, tiles: Placed, wanted: Augmentation
) -> Placed:
    """Pasted objects, at most one in each input, in one of its tiles that is a host.

    sizes: (pictures, 2) of the letterboxed pictures. wanted: says how many inputs with a host get one, and how many of
    those are mirrored.
    """
    hosts = np.flatnonzero(donors.hosts[tiles.index] & (tiles.rect[:, 2] > tiles.rect[:, 0]))
    hosts = hosts[np.argsort(random.random(len(hosts)))]
    owners, first = np.unique(tiles.owner[hosts], return_index=True)
    hosts = hosts[first][random.random(len(owners)) < wanted.pastes]
    chosen = donors.choose(random, len(hosts))
    index, box = labels.every.owner[chosen], labels.every.boxes[chosen]
    margin = np.tile(box[:, 2:] - box[:, :2], 2) * np.array([-_MARGIN, -_MARGIN, _MARGIN, _MARGIN])
    cut = np.clip(box + margin, 0, np.tile(sizes[index], 2))
    room = _room(tiles, hosts, sizes)
    scale = _scales(random, cut[:, 2:] - cut[:, :2], room, float(tiles.rect.max(initial=0)))
    shown = (cut[:, 2:] - cut[:, :2]) * scale[:, None]
    corner = room[:, :2] + (room[:, 2:] - room[:, :2] - shown) * random.random((len(hosts), 2))
    flipped = random.random(len(hosts)) < wanted.flip
    signed = np.stack([np.where(flipped, -scale, scale), scale], 1)
    shift = corner - np.where(signed < 0, cut[:, [2, 1]], cut[:, :2]) * signed
    fits = shown.max(axis=1, initial=0) >= _SMALLEST
    rect = np.concatenate([corner, corner + shown], 1).astype(np.float32)
    upright = np.zeros(len(hosts), np.bool_)
    placed = Placed(tiles.owner[hosts], index, signed.astype(np.float32), shift.astype(np.float32), rect, upright)
    return placed[fits]


def _room(tiles: Placed, hosts: Ints, sizes: Floats) -> Floats:
    """(K, 4): the part of the input where each host shows its picture and not its border."""
    chosen = tiles[hosts]
    ends = np.stack([chosen.shift, chosen.shift + chosen.sizes(sizes) * chosen.scale])
    low, high = ends.min(axis=0), ends.max(axis=0)
    return np.concatenate([np.maximum(low, chosen.rect[:, :2]), np.minimum(high, chosen.rect[:, 2:])], 1)


def _scales(random: np.random.Generator, cut: Floats, room: Floats, size: float) -> Floats:
    """(K,): such that the longer side is of a size drawn by lot and the whole has room."""
    low, high = np.log(_SIDES)
    longer = size * np.exp(random.uniform(low, high, len(cut)))
    fitting = np.min((room[:, 2:] - room[:, :2]) / np.maximum(cut, 1), axis=1, initial=np.inf)
    scale: Floats = np.minimum(np.minimum(longer / np.maximum(cut.max(axis=1, initial=1), 1), fitting), _ENLARGED)
    return scale


def covered(found: Boxes, pastes: Placed) -> Boxes:
    """What is left of boxes below pasted objects: covered wholly, they are gone, by two fifths, ignored."""
    if not len(pastes.owner):
        return found
    highest = int(max(found.owner.max(initial=0), pastes.owner.max(initial=0)))
    above = np.zeros((highest + 1, 4), np.float32)
    above[pastes.owner] = pastes.rect
    over = above[found.owner]
    shared = np.concatenate(
        [np.maximum(found.boxes[:, :2], over[:, :2]), np.minimum(found.boxes[:, 2:], over[:, 2:])], 1
    )
    part = areas(shared) / np.maximum(areas(found.boxes), 1e-6)
    return found.ignoring(part > 0.4)[part < 0.95]
