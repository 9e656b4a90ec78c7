"""A labelled set of pictures, read from any of the formats that we know and checked."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engines.detections import Floats, Ints
from engines.training.annotations import MOST_CLASSES, Entry, Listing, Mark, Problems
from engines.training.coco_format import find_coco, find_neighbour, read_coco
from engines.training.packed_format import find_packed, read_packed
from engines.training.picture_file import PictureError, PictureFile
from engines.training.yolo_format import find_yolo, read_yolo
from streamer.errors import UsageError

_TOLERANCE = 1.0  # pixels that a box may reach out of its picture before it is worth a line: rounding
_SMALLEST = 0.5  # pixels: a box thinner than this within its picture has nothing to learn from
_INNER = {"annotations", "train", "val", "valid", "validation", "test"}  # folders within a data set that hold its file


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A picture and what is in it.

    path: the file with its bytes; pixels come from `file.pixels()`, which also knows pictures in packed pieces.
    width, height: pixels, upright.
    boxes: float32 (N, 4): left, top, right, bottom in pixels, within the picture.
    classes: int64 (N,), index into the data set's names.
    scores: float32 (N,): 1.0 for a hand label, a teacher's score where an annotation has "pseudo".
    crowd: bool (N,): many objects in one box, or one that evaluation leaves out.
    source: where the picture is from; of a data set that doesn't tell, the name of its folder.
    number: COCO's image id, or a running number.
    """

    path: Path
    width: int
    height: int
    boxes: Floats
    classes: Ints
    scores: Floats
    crowd: NDArray[np.bool_]
    source: str
    number: int
    file: PictureFile


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """A split of a data set.

    names: of the classes. pictures: all that can be used.
    problems: what is wrong with the rest, one line each; training goes on without.
    labelled: source -> classes whose absence is certain there; a source not in it: all classes.
    """

    names: tuple[str, ...]
    pictures: tuple[Picture, ...]
    problems: tuple[str, ...]
    labelled: Mapping[str, frozenset[int]]

    def known(self, source: str) -> frozenset[int]:
        """The classes whose absence is certain in pictures from `source`."""
        return self.labelled.get(source, frozenset(range(len(self.names))))


def read_dataset(path: Path, split: str, labelled: Mapping[str, Sequence[str]] | None = None) -> Dataset:
    """A split ("train", "val") of the data set at `path`: COCO json, YOLO txt, or packed pieces.

    labelled: source -> names of the classes that are labelled there throughout.

    Raises:
        UsageError: there is no such data set or split, it can't be read, or no picture in it can be used.
    """
    listing, problems = _list(path, split)
    listing = _with_sources(listing, path, split)
    certain = dict(listing.labelled) | {source: _numbers(listing, names) for source, names in (labelled or {}).items()}
    pictures = [picture for entry in listing.entries if (picture := _picture(entry, listing, problems))]
    if not pictures:
        lines = "; ".join(problems.lines()[:1])
        raise UsageError(f"{listing.where}: no picture that can be used{': ' if lines else ''}{lines}")
    _look_for_gaps(listing, pictures, certain, problems)
    return Dataset(listing.names, tuple(pictures), problems.lines(), certain)


def place_of(path: Path, split: str) -> Path:
    """Where another split is of the data set whose first one is read from `path`: there, too, but for a COCO file.

    Raises:
        UsageError: `path` is a COCO file, and there is no such split beside it.
    """
    one_split = not find_packed(path, split) and path.suffix == ".json" and path.is_file()
    return find_neighbour(path, split) if one_split else path


Finder = Callable[[Path, str], Path | None]
Reader = Callable[[Path, str, Problems], Listing]
_FORMATS: tuple[tuple[Finder, Reader], ...] = (
    (find_packed, read_packed),
    (find_coco, read_coco),
    (find_yolo, read_yolo),
)


def _list(path: Path, split: str) -> tuple[Listing, Problems]:
    problems = Problems()
    if not path.exists():
        raise UsageError(f"{path}: no such data set")
    for find, read in _FORMATS:
        found = find(path, split)
        if found:
            listing = _whole(read, found, split, problems)
            if len(listing.names) > MOST_CLASSES:
                raise UsageError(f"{listing.where}: {len(listing.names)} classes, more than {MOST_CLASSES}")
            return listing, problems
    raise UsageError(
        f"{path}: no data set with a split {split!r}; wanted: {split}.json or annotations/instances_{split}*.json "
        f"(COCO), data.yaml or images/{split} and labels/{split} (YOLO), or pack.json (packed)"
    )


def _whole(read: Reader, path: Path, split: str, problems: Problems) -> Listing:
    """What is read, if the file has every part that its format has, each of its kind."""
    try:
        return read(path, split, problems)
    except (
        KeyError,
        IndexError,
        TypeError,
        ValueError,
        AttributeError,
        OverflowError,
        RecursionError,
        OSError,
    ) as error:
        raise UsageError(f"{path}: damaged, or not quite in its format: {error!r:.200}") from None


def _with_sources(listing: Listing, path: Path, split: str) -> Listing:
    """The same, with a source of its folder's name if it tells none: options by source are for such data sets, too."""
    if any(entry.source for entry in listing.entries):
        return listing
    folder = Path(os.path.abspath(path))
    if path.is_file():
        folder = folder.parent
        if folder.name in _INNER | {split}:
            folder = folder.parent
    return replace(listing, entries=tuple(replace(entry, source=folder.name) for entry in listing.entries))


def _numbers(listing: Listing, names: Sequence[str]) -> frozenset[int]:
    unknown = sorted(set(names) - set(listing.names))
    if unknown:
        raise UsageError(f"{listing.where}: no class {unknown[0]!r}; there are {', '.join(listing.names)}")
    return frozenset(map(listing.names.index, names))


def _picture(entry: Entry, listing: Listing, problems: Problems) -> Picture | None:
    try:
        width, height = entry.file.size()
    except PictureError as error:
        problems.add("broken pictures", f"{entry.name} {error}: left out")
        return None
    labelled = entry.size or (1, 1)
    if entry.size and entry.size != (width, height) and not _accept_size(entry, (width, height), problems):
        return None
    scale = np.tile(np.array([width, height], np.float64) / labelled, 2)
    marks = [(mark, box) for mark in entry.marks if (box := _box(mark, scale, (width, height), listing, problems))]
    return Picture(
        entry.file.path,
        width,
        height,
        np.array([box for _, box in marks], np.float32).reshape(-1, 4),
        np.array([mark.number for mark, _ in marks], np.int64),
        np.array([mark.score for mark, _ in marks], np.float32),
        np.array([mark.crowd for mark, _ in marks], np.bool_),
        entry.source,
        entry.number,
        entry.file,
    )


def _accept_size(entry: Entry, size: tuple[int, int], problems: Problems) -> bool:
    """Whether the labels of a picture that is not as large as they say still fit it, scaled."""
    told = entry.size or size
    sizes = f"{entry.name} is {size[0]}x{size[1]} pixels, its labels are for {told[0]}x{told[1]}"
    fits = min(told) > 0 and abs(size[0] * told[1] - size[1] * told[0]) <= max(size[0], size[1], *told)
    problems.add("pictures of another size than their labels", f"{sizes}: {'boxes scaled' if fits else 'left out'}")
    return fits


def _box(
    mark: Mark, scale: NDArray[np.float64], size: tuple[int, int], listing: Listing, problems: Problems
) -> tuple[float, ...] | None:
    """The box in pixels, within its picture; None if nothing of it is left."""
    if not 0 <= mark.number < len(listing.names):
        line = f"{mark.where}: class {mark.number}, but names end at {len(listing.names) - 1}: left out"
        problems.add("boxes of an unknown class", line)
        return None
    corners = np.array(mark.box, np.float64) * scale
    if not np.isfinite([*corners, mark.score]).all():
        problems.add("boxes with a number missing", f"{mark.where}: not a number in its box: left out")
        return None
    inside = np.clip(corners, 0, np.tile(size, 2))
    outside = float(np.abs(corners - inside).max())
    if min(corners[2:] - corners[:2]) < _SMALLEST:
        problems.add("boxes without a size", f"{mark.where}: a box of zero size: left out")
        return None
    if min(inside[2:] - inside[:2]) < _SMALLEST:
        problems.add("boxes outside their picture", f"{mark.where}: a box outside its picture: left out")
        return None
    if outside > _TOLERANCE:
        line = f"{mark.where}: a box reaches {outside:.0f} pixels out of its picture: clipped"
        problems.add("boxes that reach out of their picture", line)
    return tuple(inside)


def _look_for_gaps(
    listing: Listing, pictures: Sequence[Picture], labelled: Mapping[str, frozenset[int]], problems: Problems
) -> None:
    """Notes the classes that nobody has, and the sources named that no picture is from."""
    present = np.bincount(np.concatenate([picture.classes for picture in pictures]), minlength=len(listing.names))
    for name, count in zip(listing.names, present, strict=True):
        if not count:
            line = f"{listing.where}: no picture has a {name}: it is neither learnt nor measured"
            problems.add("classes that no picture has", line)
    sources = {picture.source for picture in pictures}
    for source in labelled:
        if source not in sources:
            told = ", ".join(sorted(filter(None, sources)))
            problems.add("sources without pictures", f"{listing.where}: no picture is from {source!r} ({told})")
