"""Pictures of drawn streets as a data set in COCO's format, each through the producer's own JPEG encoder."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from producers.encoder import Encoder
from producers.picture import Picture
from producers.sources.synthetic import street_frame
from producers.street import Street, coco
from producers.transform import NetworkInput
from streamer.errors import UsageError
from streamer.records.stream import StreamDefinition

SOURCE = "street"  # what the pictures' "source" says
_PER_STREET = 8  # pictures of one street; the empty street takes as long to draw as three of them
_FIRST_SEED = 10_000  # lower seeds stay unseen, for trying a detector that was trained on these
_SIZES = ((1280, 720), (1280, 720), (1280, 720), (1920, 1080), (960, 720), (720, 1280))
_BUSY = (2, 26)  # people and vehicles at a time
_DAY = 25 * 3600  # pictures of a street to choose from


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to write.

    pictures: for training. val: for choosing, of other streets. side: the longest of a picture, in pixels.
    quality: of the JPEGs, 30 to 100. seed: the same gives the same files.
    """

    pictures: int = 2000
    val: int = 200
    side: int = 320
    quality: int = 90
    seed: int = 0


def write_dataset(folder: Path, wanted: Wanted, told: Callable[[int], None] = lambda count: None) -> None:
    """Writes images/{train,val}/*.jpg, train.json and val.json. told: called with the number of pictures done.

    Raises:
        UsageError: the folder has a data set already, or can't be written.
    """
    if any((folder / f"{split}.json").exists() for split in ("train", "val")):
        raise UsageError(f"{folder}: there is a data set already; give another folder, or delete this one")
    try:
        for split, count in (("train", wanted.pictures), ("val", wanted.val)):
            if count:
                _write_split(folder, split, count, wanted, told)
    except OSError as error:
        raise UsageError(f"{folder}: can't be written: {error.strerror}") from None


def _write_split(folder: Path, split: str, count: int, wanted: Wanted, told: Callable[[int], None]) -> None:
    pictures = folder / "images" / split
    pictures.mkdir(parents=True, exist_ok=True)
    whole: dict[str, list[dict[str, Any]]] = {"images": [], "annotations": [], "categories": []}
    for number, (street, index) in enumerate(_views(count, wanted.seed, split == "val"), 1):
        jpeg, truth = _picture(street, index, wanted)
        name = f"{number:06d}.jpg"
        (pictures / name).write_bytes(jpeg)
        whole["categories"] = truth["categories"]
        whole["images"] += [image | {"id": number, "file_name": name, "source": SOURCE} for image in truth["images"]]
        for annotation in truth["annotations"]:
            annotation |= {"id": len(whole["annotations"]) + 1, "image_id": number}
            whole["annotations"].append(annotation)
        told(number)
    (folder / f"{split}.json").write_text(json.dumps(whole))


def _views(count: int, seed: int, val: bool) -> Iterator[tuple[Street, int]]:
    """Streets and numbers of pictures in them, drawn by lot; no street is of both splits."""
    for place in range(-(-count // _PER_STREET)):
        random = np.random.default_rng([seed, val, place])
        size = _SIZES[int(random.integers(len(_SIZES)))]
        chosen = _FIRST_SEED + 2 * int(random.integers(1 << 40)) + val
        street = Street(size, seed=chosen, objects=int(random.integers(*_BUSY)))
        for _ in range(min(_PER_STREET, count - place * _PER_STREET)):
            yield street, int(random.integers(_DAY))


def _picture(street: Street, index: int, wanted: Wanted) -> tuple[bytes, dict[str, Any]]:
    """A JPEG and its truth in COCO's format, in pixels of the JPEG."""
    definition = StreamDefinition(id="street", source="synthetic:", transport="network", quality=wanted.quality)
    encoder = Encoder(definition, NetworkInput(wanted.side, wanted.side))
    encoded = encoder.encode(Picture(street_frame(street, index), index, index, 0.0, 0.0, 0, 0))
    truth = coco(street, [index])
    across, down = encoded.width / encoded.source_width, encoded.height / encoded.source_height
    for image in truth["images"]:
        image |= {"width": encoded.width, "height": encoded.height}
    for annotation in truth["annotations"]:
        left, top, width, height = annotation["bbox"]
        annotation["bbox"] = [round(value, 2) for value in (left * across, top * down, width * across, height * down)]
        annotation["area"] = round(annotation["area"] * across * down, 2)
    # What came into the picture by less than a pixel of the JPEG can't be seen in it.
    truth["annotations"] = [each for each in truth["annotations"] if min(each["bbox"][2:]) >= 1]
    return encoded.jpeg, truth
