"""Packs data sets into few files of bounded size, to be carried to a machine that can't fetch them itself."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engines.training.dataset import Dataset, Picture
from engines.training.packed_format import INDEX, read_index
from streamer.errors import UsageError

PIECE_MIB = 48


def pack_dataset(dataset: Dataset, folder: Path, split: str, piece_mib: int = PIECE_MIB) -> list[Path]:
    """Writes a split into `folder`, beside those that are packed there already; returns the pieces.

    Raises:
        UsageError: the split is there already, a picture is larger than a piece, or the folder can't be written.
    """
    index = read_index(folder)
    if split in index["splits"]:
        raise UsageError(f"{folder}: {split} is packed there already; give another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        pieces, pictures = _write_pieces(dataset, folder, split, piece_mib << 20)
        labelled = {source: sorted(classes) for source, classes in dataset.labelled.items()}
        packed = {"names": dataset.names, "labelled": labelled, "pieces": pieces, "pictures": pictures}
        index["splits"][split] = packed
        (folder / INDEX).write_text(json.dumps(index))
    except OSError as error:
        raise UsageError(f"{folder}: can't be written: {error.strerror}") from None
    return [folder / piece["name"] for piece in pieces]


def _write_pieces(
    dataset: Dataset, folder: Path, split: str, limit: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What the index says of the pieces, and of the pictures."""
    pieces: list[dict[str, Any]] = []
    described: list[dict[str, Any]] = []
    for piece in _pieces(dataset.pictures, limit):
        name = f"{split}-{len(pieces):03d}.part"
        digest, offset = hashlib.sha256(), 0
        with (folder / name).open("wb") as file:
            for picture in piece:
                data = picture.file.read()
                file.write(data)
                digest.update(data)
                described.append(_described(picture) | {"piece": len(pieces), "offset": offset, "length": len(data)})
                offset += len(data)
        pieces.append({"name": name, "bytes": offset, "sha256": digest.hexdigest()})
    return pieces, described


def _pieces(pictures: tuple[Picture, ...], limit: int) -> Iterator[list[Picture]]:
    """The pictures, as many at a time as fit into a piece."""
    piece: list[Picture] = []
    size = 0
    for picture in pictures:
        length = len(picture.file.read())
        if length > limit:
            raise UsageError(f"{picture.path}: {length >> 20} MiB, more than a piece holds; allow larger pieces")
        if size + length > limit:
            yield piece
            piece, size = [], 0
        piece.append(picture)
        size += length
    if piece:
        yield piece


def _described(picture: Picture) -> dict[str, Any]:
    return {
        "number": picture.number,
        "source": picture.source,
        "size": [picture.width, picture.height],
        "boxes": picture.boxes.tolist(),
        "classes": picture.classes.tolist(),
        "scores": picture.scores.tolist(),
        "crowd": picture.crowd.tolist(),
    }
