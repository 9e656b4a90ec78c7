"""Data sets as YOLO tools keep them: beside each picture a text file, a line "class x y width height" per object."""

from collections.abc import Iterable
from pathlib import Path

from engines.training.annotations import Entry, Listing, Mark, Problems
from engines.training.picture_file import SUFFIXES, PictureFile
from engines.training.yolo_names import class_names, read_yaml
from streamer.errors import UsageError

_YAML = ("data.yaml", "data.yml", "dataset.yaml")
_MOST_UNUSED = 100  # numbers of classes that nothing has, without names: a part of COCO's 80 is fine, a stray is not
_NAMED_ALIKE = {"val": ("val", "valid", "validation")}


def find_yolo(path: Path, split: str) -> Path | None:
    """The data.yaml, given or in the folder, or a folder that has images/{split} or {split}/images."""
    if path.is_file():
        return path if path.suffix in (".yaml", ".yml") else None
    for name in _YAML:
        if (path / name).is_file():
            return path / name
    return path if _folder_of(path, split) else None


def read_yolo(path: Path, split: str, problems: Problems) -> Listing:
    """What the label files say, unchecked.

    Raises:
        UsageError: the data.yaml lacks names or the split, or names a folder that isn't there; or without names, a
            class's number is far from the others.
    """
    if path.is_dir():
        folder = _folder_of(path, split)
        files = _pictures([folder] if folder else [])
        names: tuple[str, ...] = _names_beside(path)
    else:
        values = read_yaml(path)
        names = class_names(path, values)
        files = _pictures(_places(path, values, split))
    entries = [_entry(number, file, problems) for number, file in enumerate(files)]
    return Listing(names or _numbered(entries), tuple(entries), path)


def _numbered(entries: Iterable[Entry]) -> tuple[str, ...]:
    """Names for the classes up to the highest number in the labels.

    Raises:
        UsageError: that number is far from the others, and would make classes that nothing has.
    """
    marks = {mark.number: mark for entry in entries for mark in entry.marks if mark.number >= 0}
    highest = max(marks, default=-1)
    if highest + 1 - len(marks) > _MOST_UNUSED:
        line = f"class {highest}, but {len(marks)} classes are used, and none has a name"
        raise UsageError(f"{marks[highest].where}: {line}; mend it, or write names into data.yaml")
    return tuple(f"class {number}" for number in range(highest + 1))


def _folder_of(path: Path, split: str) -> Path | None:
    names = _NAMED_ALIKE.get(split, (split,))
    folders = [folder for name in names for folder in (path / "images" / name, path / name / "images")]
    return next((folder for folder in folders if folder.is_dir()), None)


def _names_beside(path: Path) -> tuple[str, ...]:
    """The names in classes.txt, one a line, if there is such a file."""
    for name in ("classes.txt", "obj.names", "labels/classes.txt"):
        if (path / name).is_file():
            return tuple(filter(None, map(str.strip, (path / name).read_text(encoding="utf-8").splitlines())))
    return ()


def _places(path: Path, values: dict[str, str | list[str]], split: str) -> list[Path]:
    """What a data.yaml names for a split: folders, or text files that list pictures."""
    named = next((values[name] for name in _NAMED_ALIKE.get(split, (split,)) if values.get(name)), None)
    if named is None:
        raise UsageError(f"{path}: no {split!r} in it; write where its pictures are: {split}: images/{split}")
    top = path.parent / str(values.get("path", ""))
    if not top.is_dir():  # written for the folder that the tools of its author were started in
        top = path.parent
    places = []
    for name in [named] if isinstance(named, str) else named:
        # Roboflow writes ../train/images where the folder is beside data.yaml.
        candidates = [top / name, path.parent / name, path.parent / name.removeprefix("../")]
        place = next((candidate for candidate in candidates if candidate.exists()), None)
        if place is None:
            raise UsageError(f"{path}: {split}: {name} isn't there")
        places.append(place)
    return places


def _pictures(places: Iterable[Path]) -> list[Path]:
    found: list[Path] = []
    for place in places:
        if place.is_file():
            lines = place.read_text(encoding="utf-8").splitlines()
            found += [place.parent / line.strip() for line in lines if line.strip()]
        else:
            found += sorted(file for file in place.rglob("*") if file.suffix.lower() in SUFFIXES)
    return found


def _entry(number: int, picture: Path, problems: Problems) -> Entry:
    label = _label_file(picture)
    try:
        text = label.read_text(encoding="utf-8")
    except FileNotFoundError:
        problems.add("pictures without a label file", f"{picture}: no {label.name}: taken as empty of objects")
        text = ""
    except (OSError, UnicodeDecodeError) as error:
        problems.add("unreadable label files", f"{label}: can't be read: {error}: its picture is taken as empty")
        text = ""
    else:
        if not text.strip():
            problems.add("empty label files", f"{label}: empty: its picture is taken as empty of objects")
    lines = enumerate(text.splitlines(), 1)
    marks = [mark for row, line in lines if line.strip() and (mark := _mark(line, f"{label}:{row}", problems))]
    return Entry(PictureFile(picture), str(picture), number, tuple(marks))


def _label_file(picture: Path) -> Path:
    """The last folder called images gives way to labels; without one, the label file is beside its picture."""
    parts = list(picture.parts)
    for position in range(len(parts) - 2, -1, -1):
        if parts[position] == "images":
            parts[position] = "labels"
            return Path(*parts).with_suffix(".txt")
    return picture.with_suffix(".txt")


def _mark(line: str, where: str, problems: Problems) -> Mark | None:
    """class x y width height, with a sixth number that is a score, or class and the corners of an outline."""
    try:
        number, *values = (float(word) for word in line.split())
        if not number.is_integer() or not (len(values) in (4, 5) or (len(values) >= 6 and len(values) % 2 == 0)):
            raise ValueError
    except ValueError:
        problems.add("lines that can't be read", f"{where}: {line[:60]!r} is not 'class x y width height': left out")
        return None
    if len(values) > 5:
        return Mark(int(number), (min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2])), where)
    x, y, width, height = values[:4]
    box = x - width / 2, y - height / 2, x + width / 2, y + height / 2
    return Mark(int(number), box, where, values[4] if len(values) == 5 else 1.0)
