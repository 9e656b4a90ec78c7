"""Data sets in COCO's format (https://cocodataset.org/#format-data): one JSON file per split, pictures beside it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engines.training.annotations import Entry, Listing, Mark, Problems
from engines.training.picture_file import PictureFile
from streamer.errors import UsageError

_NAMED_ALIKE = {"val": ("val", "valid", "validation")}
_ROBOFLOW = "_annotations.coco.json"


def find_coco(path: Path, split: str) -> Path | None:
    """The JSON file of a split: `path` itself, or in a folder {split}.json, annotations/instances_{split}*.json,
    or {split}/_annotations.coco.json (Roboflow's).

    Raises:
        UsageError: there is more than one.
    """
    if path.is_file():
        return path if path.suffix == ".json" else None
    for name in _NAMED_ALIKE.get(split, (split,)):
        patterns = f"{name}.json", f"annotations/instances_{name}*.json", f"{name}/{_ROBOFLOW}"
        found = [file for pattern in patterns for file in sorted(path.glob(pattern))]
        if len(found) > 1:
            raise UsageError(f"{path}: {' and '.join(str(file.relative_to(path)) for file in found)}: name one of them")
        if found:
            return found[0]
    return None


def find_neighbour(path: Path, split: str) -> Path:
    """The JSON file of another split of the data set that the file at `path` is a split of.

    Raises:
        UsageError: there is none, or more than one.
    """
    deeper = path.parent.name == "annotations" or path.name == _ROBOFLOW
    for folder in (path.parent, path.parent.parent) if deeper else (path.parent,):
        found = find_coco(folder, split)
        if found and not found.samefile(path):
            return found
    raise UsageError(f"{path}: has one split, and no other file beside it is called {split!r}")


def read_coco(path: Path, split: str, problems: Problems) -> Listing:
    """What the file says, unchecked but for references between its parts.

    Raises:
        UsageError: it is not JSON, or lacks images or categories.
    """
    content = _load(path)
    categories = sorted(content["categories"], key=lambda category: category["id"])
    numbers = {category["id"]: number for number, category in enumerate(categories)}
    names = tuple(str(category["name"]) for category in categories)
    images = _images(path, content["images"], problems)
    marks = _marks(path, content["annotations"], images, numbers, problems)
    bases = _bases(path, split, images)
    entries = [_entry(image, bases, marks.get(key, [])) for key, image in images.items()]
    return Listing(names, tuple(entries), path)


def _load(path: Path) -> dict[str, list[Any]]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: not a JSON file: {error}") from None
    content = content if isinstance(content, dict) else {}
    for key, wanted in {"images": {"id", "file_name"}, "categories": {"id", "name"}, "annotations": set()}.items():
        values = content.setdefault(key, []) if key == "annotations" else content.get(key)
        if not isinstance(values, list):
            raise UsageError(f"{path}: no list {key!r} in it: not COCO's format")
        lacking = [value for value in values if not isinstance(value, dict) or not wanted <= value.keys()]
        if lacking:
            raise UsageError(f"{path}: {key} without {' or '.join(sorted(wanted))}: {lacking[0]!r:.80}")
    return content


def _images(path: Path, images: Sequence[Mapping[str, Any]], problems: Problems) -> dict[Any, Mapping[str, Any]]:
    found: dict[Any, Mapping[str, Any]] = {}
    for image in images:
        if image["id"] in found:
            line = f"{path}: id {image['id']} is that of {found[image['id']]['file_name']} and {image['file_name']}"
            problems.add("images with an id that is taken", f"{line}: the second one is left out")
        else:
            found[image["id"]] = image
    return found


def _marks(
    path: Path,
    annotations: Sequence[Mapping[str, Any]],
    images: Mapping[Any, Mapping[str, Any]],
    numbers: Mapping[Any, int],
    problems: Problems,
) -> dict[Any, list[Mark]]:
    """The marks of each image id."""
    found: dict[Any, list[Mark]] = {}
    for position, annotation in enumerate(annotations):
        where = f"{path}: annotation {annotation.get('id', position)}"
        image = annotation.get("image_id")
        if image not in images:
            problems.add("annotations without an image", f"{where} is for image {image}, which isn't there: left out")
        elif annotation.get("category_id") not in numbers:
            line = f"{where} has category {annotation.get('category_id')}, which isn't there: left out"
            problems.add("annotations of an unknown category", line)
        elif mark := _mark(annotation, where, numbers, problems):
            found.setdefault(image, []).append(mark)
    return found


def _mark(annotation: Mapping[str, Any], where: str, numbers: Mapping[Any, int], problems: Problems) -> Mark | None:
    try:
        left, top, width, height = (float(value) for value in annotation["bbox"])
        score = float(annotation.get("pseudo", 1.0))
    except (KeyError, TypeError, ValueError):
        problems.add("annotations without a box", f"{where} has no bbox of four numbers: left out")
        return None
    crowd = bool(annotation.get("iscrowd") or annotation.get("ignore"))
    box = left, top, left + width, top + height
    return Mark(numbers[annotation["category_id"]], box, where, score, crowd)


def _bases(path: Path, split: str, images: Mapping[Any, Mapping[str, Any]]) -> tuple[Path, ...]:
    """The folders that pictures' names may be in, the one that has the first of them before the others."""
    folder, top = path.parent, path.parent.parent
    inner = [path.stem.removeprefix("instances_"), path.stem, split]
    roots = [folder, folder / "images", top, top / "images"]
    bases = [*roots, *(root / name for root in roots for name in inner)]
    name = next((image["file_name"] for image in images.values()), "")
    return tuple(sorted(bases, key=lambda base: not (base / name).is_file()))


def _entry(image: Mapping[str, Any], bases: Sequence[Path], marks: Sequence[Mark]) -> Entry:
    name = str(image["file_name"])
    path = next((base / name for base in bases if (base / name).is_file()), bases[0] / name)
    size = (int(image["width"]), int(image["height"])) if image.get("width") and image.get("height") else None
    number = image["id"] if isinstance(image["id"], int) else 0
    return Entry(PictureFile(path), str(path), number, tuple(marks), size, str(image.get("source", "")))
