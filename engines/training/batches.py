"""Pictures and what is in them, batch by batch, as a training wants them."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import ceil

import numpy as np
import torch
from torch import Tensor

from engines.detections import Floats, Ints
from engines.training.augment import Augmentation, Flags, Placed, place_tiles
from engines.training.colour import colour_maps
from engines.training.dataset import Dataset, Picture
from engines.training.labels import Labels, gather, joined, padded
from engines.training.memory import keep_freed_memory
from engines.training.paste import Donors, covered, find_donors, place_pastes
from engines.training.pixels import Pixels, load_pixels, scale_factors
from engines.training.render import TILES, Plan, render
from streamer.errors import UsageError


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """B inputs of the network, S x S pixels, with up to M objects each.

    images: float32 (B, 3, S, S), RGB 0 to 1.
    boxes: float32 (B, M, 4): left, top, right, bottom in pixels of the input. classes: int64 (B, M), -1: no object.
    scores: float32 (B, M): 1.0 for a hand label, else a teacher's.
    ignore: bool (B, M): crowds and rests too small to be told, neither object nor background.
    tiles: float32 (B, T, 4): the parts that an input is put together of, in pixels; empty ones are 0 wide or high.
    known: bool (B, T, C): classes whose absence is certain in a part.
    taught: bool (B, T): whether a teacher that looks at the batch knows what it shows.
    """

    images: Tensor
    boxes: Tensor
    classes: Tensor
    scores: Tensor
    ignore: Tensor
    tiles: Tensor
    known: Tensor
    taught: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class _Scaled:
    """All pictures and their labels at one input size."""

    pixels: Pixels
    labels: Labels


class Batches:
    """The batches of a training.

    Args:
        datasets: the pictures; classes are matched by name, and a data set without a class says nothing about it.
        size: pixels, side of the network's input; epochs may be smaller.
        batch: inputs in a batch.
        device: where they are made and where all pictures are kept.
        seed: of everything drawn by lot, with the numbers of epoch and batch: a resumed training goes on alike.
        augmentation: how pictures are changed.
        repeats: source -> how many times an epoch shows each of its pictures, 1 if not told.
        untaught: sources that a teacher knows nothing of.

    names: of the classes. problems: pictures that turned out broken, once they are loaded.

    Raises:
        UsageError: a source is named that no picture is from.
    """

    def __init__(
        self,
        datasets: Sequence[Dataset],
        size: int,
        batch: int,
        device: torch.device | str = "cpu",
        seed: int = 0,
        augmentation: Augmentation | None = None,
        repeats: Mapping[str, int] | None = None,
        untaught: Collection[str] = (),
    ) -> None:
        self.size, self.batch, self.seed = size, batch, seed
        self.augmentation = augmentation or Augmentation()
        self.names = tuple(dict.fromkeys(name for dataset in datasets for name in dataset.names))
        self.pictures: tuple[Picture, ...] = tuple(picture for dataset in datasets for picture in dataset.pictures)
        self.problems: tuple[str, ...] = ()
        self._device = torch.device(device)
        self._known = _known(datasets, self.names)
        self._taught = np.array([picture.source not in untaught for picture in self.pictures])
        self._labels = gather(self.pictures, _renumbered(datasets, self.names))
        self._shown = _shown(self.pictures, repeats or {})
        self._turns = _turns(self.pictures, self.augmentation)
        self._donors = self._find_donors()
        self._pixels: Pixels | None = None
        self._scaled: _Scaled | None = None

    def __len__(self) -> int:
        return ceil(len(self._shown) / self.batch)

    def load(self) -> None:
        """Decodes all pictures, unless that is done; the first epoch does it otherwise.

        Raises:
            UsageError: all of them are broken.
        """
        if self._pixels is not None:
            return
        if self._device.type == "cpu":
            keep_freed_memory()
        self._pixels, broken = load_pixels(self.pictures, self.size, self._device)
        self.problems = tuple(line for _, line in broken)
        self._shown = self._shown[~np.isin(self._shown, [number for number, _ in broken])]
        if not len(self._shown):
            raise UsageError(f"no picture can be decoded: {self.problems[0]}")

    def epoch(self, number: int, size: int | None = None, mosaic: bool = True, first: int = 0) -> Iterator[Batch]:
        """The batches of epoch `number`, all of the same length.

        size: of the inputs, at most the size that pictures are kept at. mosaic: False shows pictures one by one.
        first: batches left out, for a training that goes on in the middle of an epoch.
        """
        self.load()
        scaled = self._at(size or self.size)
        order = np.random.default_rng([self.seed, number]).permutation(self._shown)
        order = np.resize(order, len(self) * self.batch)  # the last batch is filled up from the beginning
        # NumPy's part of the next batch is done while torch is busy with this one.
        with ThreadPoolExecutor(1) as pool:
            steps = range(first, len(self))
            ahead = pool.submit(self._draw, scaled, order, number, first, mosaic) if steps else None
            for step in steps:
                assert ahead is not None
                plan, arrays = ahead.result()
                if step + 1 < len(self):
                    ahead = pool.submit(self._draw, scaled, order, number, step + 1, mosaic)
                yield Batch(render(plan, scaled.pixels), *(self._sent(array) for array in arrays))

    def _draw(
        self, scaled: _Scaled, order: Ints, epoch: int, step: int, mosaic: bool
    ) -> tuple[Plan, list[Floats | Ints | Flags]]:
        """How a batch looks, and what is in it: boxes, classes, scores, ignore, tiles, known, taught."""
        random = np.random.default_rng([self.seed, epoch, step])
        wanted, inputs, size = self.augmentation, self.batch, scaled.pixels.size
        count = TILES if mosaic and wanted.mosaic else 1
        index = random.choice(self._shown, (inputs, count))
        index[:, 0] = order[step * inputs : (step + 1) * inputs]
        tiles = place_tiles(random, index, scaled.pixels.sizes, self._turns, size, wanted)
        found, pastes = scaled.labels.project(tiles), Placed.nothing()
        for donors in self._donors:
            more = place_pastes(random, donors, scaled.labels, scaled.pixels.sizes, tiles, wanted)
            more = more[~np.isin(more.owner, pastes.owner)]  # one input is pasted into once
            found = joined([covered(found, more), scaled.labels.project(more)])
            pastes = Placed.joined([pastes, more])
        matrices, offsets = colour_maps(random, inputs, wanted)
        blurs = (random.uniform(0.4, 1.2, inputs) * (random.random(inputs) < wanted.blur)).astype(np.float32)
        noisy = random.random(inputs) < wanted.noise
        plan = Plan(size, tiles, pastes, matrices, offsets, blurs, noisy, int(random.integers(1 << 62)))
        parts = tiles.rect.reshape(inputs, count, 4)
        return plan, [*padded(found, inputs), parts, self._known[index], self._taught[index]]

    def _at(self, size: int) -> _Scaled:
        if self._scaled is None or self._scaled.pixels.size != size:
            assert self._pixels is not None
            self._scaled = None  # lets the other size's memory go first
            pixels = self._pixels.scaled(size)
            self._scaled = _Scaled(pixels, self._labels.scaled(scale_factors(self.pictures, pixels.sizes)))
        return self._scaled

    def _find_donors(self) -> list[Donors]:
        sources = [picture.source for picture in self.pictures]
        _check_sources([source for pair in self.augmentation.paste for source in pair], sources)
        found = [find_donors(self._labels, sources, self._known, pair) for pair in self.augmentation.paste]
        return [donors for donors in found if donors]

    def _sent(self, array: Floats | Ints | Flags) -> Tensor:
        tensor = torch.from_numpy(np.ascontiguousarray(array))
        return tensor.pin_memory().to(self._device, non_blocking=True) if self._device.type == "cuda" else tensor


def _known(datasets: Sequence[Dataset], names: Sequence[str]) -> Flags:
    """(pictures, classes): whose absence is certain."""
    rows = []
    for dataset in datasets:
        for picture in dataset.pictures:
            certain = {dataset.names[number] for number in dataset.known(picture.source)}
            rows.append([name in certain for name in names])
    return np.array(rows, np.bool_)


def _renumbered(datasets: Sequence[Dataset], names: Sequence[str]) -> list[Ints]:
    """Each picture's classes, as numbers of `names`."""
    found = []
    for dataset in datasets:
        numbers = np.array([names.index(name) for name in dataset.names], np.int64)
        found += [numbers[picture.classes] for picture in dataset.pictures]
    return found


def _shown(pictures: Sequence[Picture], repeats: Mapping[str, int]) -> Ints:
    """The pictures' numbers, each as often as an epoch shows it."""
    sources = [picture.source for picture in pictures]
    _check_sources(list(repeats), sources)
    return np.repeat(np.arange(len(pictures)), [repeats.get(source, 1) for source in sources])


def _turns(pictures: Sequence[Picture], wanted: Augmentation) -> Floats:
    """(pictures,): how likely each is to be turned."""
    sources, turns = [picture.source for picture in pictures], dict(wanted.turn)
    _check_sources(list(turns), sources)
    return np.array([turns.get(source, 0.0) for source in sources], np.float32)


def _check_sources(named: Sequence[str], sources: Sequence[str]) -> None:
    unknown = set(named) - set(sources)
    if unknown:
        told = ", ".join(sorted(set(filter(None, sources))))
        raise UsageError(f"no picture is from source {min(unknown)!r}; there are: {told}")
