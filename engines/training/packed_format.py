"""Packed data sets: an index, pack.json, and pieces, train-000.part and so on.

A piece is the pictures' files end to end, as they are; no picture lies in two of them. Labels are in the index. They
are read where they lie, without being unpacked.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from engines.training.annotations import Entry, Listing, Mark, Problems
from engines.training.picture_file import PictureFile
from streamer.errors import UsageError

INDEX = "pack.json"
_FORMAT = 1


def find_packed(path: Path, split: str) -> Path | None:
    """The index, if `path` is a packed folder, or its index."""
    index = path if path.name == INDEX else path / INDEX
    return index if index.is_file() else None


def read_packed(path: Path, split: str, problems: Problems) -> Listing:
    """The listing that an index at `path` has; every piece is checked against its sum first.

    Raises:
        UsageError: the split isn't in it, or a piece is missing or damaged.
    """
    index = read_index(path.parent)
    packed = index["splits"].get(split)
    if packed is None:
        told = ", ".join(index["splits"])
        raise UsageError(f"{path}: no split {split!r} is packed here; there are: {told}")
    files = [_checked(path.parent, piece) for piece in packed["pieces"]]
    entries = [_entry(files[picture["piece"]], picture) for picture in packed["pictures"]]
    labelled = {source: frozenset(classes) for source, classes in packed["labelled"].items()}
    return Listing(tuple(packed["names"]), tuple(entries), path, labelled)


def read_index(folder: Path) -> dict[str, Any]:
    """The index of a packed folder, an empty one if there is none yet.

    Raises:
        UsageError: it is damaged, or of another version.
    """
    path = folder / INDEX
    if not path.exists():
        return {"format": _FORMAT, "splits": {}}
    try:
        index = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: not an index of packed pictures: {error}") from None
    if not isinstance(index, dict) or index.get("format") != _FORMAT or not isinstance(index.get("splits"), dict):
        raise UsageError(f"{path}: not an index of packed pictures that this version can read; pack them again")
    return index


def _checked(folder: Path, piece: dict[str, Any]) -> Path:
    path = folder / str(piece["name"])
    if not path.is_file():
        raise UsageError(f"{path}: is missing; carry it over as well")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != piece["sha256"]:
        raise UsageError(f"{path}: {path.stat().st_size} bytes that are not those packed; carry it over again")
    return path


def _entry(path: Path, picture: dict[str, Any]) -> Entry:
    file = PictureFile(path, picture["offset"], picture["length"])
    name = f"{path}: picture {picture['number']}"
    columns = (picture[key] for key in ("classes", "boxes", "scores", "crowd"))
    marks = [Mark(number, tuple(box), name, score, crowd) for number, box, score, crowd in zip(*columns, strict=True)]
    return Entry(file, name, picture["number"], tuple(marks), tuple(picture["size"]), picture["source"])
