"""Labelled pictures as folders, one per class: FOLDER/train/CLASS/*.jpg and FOLDER/val/CLASS/*.jpg."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from engines.training.picture_file import SUFFIXES, PictureError, PictureFile
from streamer.errors import UsageError

TRAIN, VAL = "train", "val"
MEASURED = 5  # one picture in so many, where there is no folder to measure on


@dataclass(frozen=True, slots=True)
class LabelledFile:
    """A picture and the number of its class."""

    path: Path
    kind: int


@dataclass(frozen=True, slots=True)
class ClassFolders:
    """names: of the classes. problems: what was left out or read otherwise than one may think, a line each."""

    names: tuple[str, ...]
    files: tuple[LabelledFile, ...]
    problems: tuple[str, ...] = ()

    def named(self, names: Sequence[str]) -> "ClassFolders":
        """The same with its classes numbered as in `names`, without those that are not among them."""
        foreign = [name for name in self.names if name not in names]
        lines = [f"class {name!r} is not learnt: its pictures are not measured on" for name in foreign]
        kept = [file for file in self.files if self.names[file.kind] not in foreign]
        files = [replace(file, kind=names.index(self.names[file.kind])) for file in kept]
        return ClassFolders(tuple(names), tuple(files), (*self.problems, *lines))


def read_split(folder: Path, split: str) -> ClassFolders:
    """The pictures of folder/split; for `val`, where there is no such folder, those that a training measures on.

    Raises:
        UsageError: there is no such folder, or no folder of a class in it.
    """
    if split == VAL and not (folder / VAL).exists():
        return learnt_and_measured(folder, TRAIN, VAL)[1]
    return _read(folder / split)


def learnt_and_measured(folder: Path, split: str, val: str) -> tuple[ClassFolders, ClassFolders]:
    """The pictures to learn from and those to measure on; without a folder for these, a fifth is put aside.

    Raises:
        UsageError: as of `read_split`.
    """
    learnt = _read(folder / split)
    if (folder / val).exists():
        return learnt, _read(folder / val)
    return _divided(learnt, f"{folder}: no folder {val!r}: a fifth of the pictures is measured on, not learnt from")


def _read(root: Path) -> ClassFolders:
    try:
        entries = sorted(entry for entry in root.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise UsageError(
            f"{root}: {error.strerror}; put pictures into {root / 'CLASS'}, one folder per class"
        ) from None
    folders = [entry for entry in entries if entry.is_dir()]
    if not folders:
        raise UsageError(f"{root}: no folder in it; put pictures into {root / 'CLASS'}, one folder per class")
    files: list[LabelledFile] = []
    problems: list[str] = []
    if len(folders) < len(entries):
        problems.append(f"{root}: {len(entries) - len(folders)} files outside of the classes' folders: left out")
    for kind, home in enumerate(folders):
        paths, lines = _pictures_in(home)
        files += [LabelledFile(path, kind) for path in paths]
        problems += lines
    return ClassFolders(tuple(home.name for home in folders), tuple(files), tuple(problems))


def _pictures_in(home: Path) -> tuple[list[Path], list[str]]:
    """The pictures of a class, in folders within its folder too, and what else is there."""
    paths = sorted(_all_files(home))
    pictures = [path for path in paths if path.suffix.lower() in SUFFIXES]
    lines = []
    deeper = sum(path.parent != home for path in pictures)
    if deeper:
        lines.append(f"{home}: {deeper} pictures in folders within it: taken for {home.name!r}, too")
    others = Counter(path.suffix.lower() or "none" for path in paths if path.suffix.lower() not in SUFFIXES)
    if others:
        lines.append(f"{home}: {others.total()} files are no pictures by their suffix ({', '.join(others)}): left out")
    return pictures, lines


def _all_files(home: Path) -> Iterator[Path]:
    for folder, inner, names in os.walk(home):
        inner[:] = [name for name in inner if not name.startswith(".")]
        yield from (Path(folder, name) for name in names if not name.startswith("."))


def _divided(whole: ClassFolders, note: str) -> tuple[ClassFolders, ClassFolders]:
    """Chosen by what is in the files, so that copies stay together and a picture its part when others are added.

    Not by a training's seed: trainings are compared on the same pictures, and `streamer evaluate` finds them again.
    """
    aside = [file for file in whole.files if _hash(file.path) % MEASURED == 0]
    left = set(whole.files) - set(aside)
    taught = {file.kind for file in left}
    aside = [file for file in aside if file.kind in taught]  # a class of one picture is learnt rather than measured
    kept = [file for file in whole.files if file not in set(aside)]
    return (
        ClassFolders(whole.names, tuple(kept), (*whole.problems, note)),
        ClassFolders(whole.names, tuple(aside)),
    )


def _hash(path: Path) -> int:
    try:
        return int.from_bytes(hashlib.sha256(PictureFile(path).read()).digest()[:8], "big")
    except PictureError:
        return 1  # who decodes it tells what is wrong
