"""A small labelled set: pictures of noise, each with a cat and a dog."""

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

CAT, DOG = (10, 10, 40, 30), (60, 20, 60, 60)
"""Left, top, width and height in pictures of 128x96."""


def in_network(left: float, top: float, width: float, height: float) -> tuple[float, float, float, float]:
    """Centre, width and height in an input of 64x64: pictures are halved and stand 8 pixels below its top."""
    return (left + width / 2) / 2, (top + height / 2) / 2 + 8, width / 2, height / 2


def labelled_pictures(folder: Path, splits: Sequence[str] = ("val",), count: int = 4) -> Path:
    """Writes them in COCO's format; the first half is from a yard, the second from a street."""
    for split in splits:
        pictures = folder / "images" / split
        pictures.mkdir(parents=True)
        images, annotations = [], []
        for number in range(count):
            noise = np.random.default_rng(number).integers(0, 255, (96, 128, 3), np.uint8)
            cv2.imwrite(str(pictures / f"{number}.jpg"), noise)
            source = "yard" if number < count / 2 else "street"
            images.append({"id": number, "file_name": f"{number}.jpg", "width": 128, "height": 96, "source": source})
            for kind, place in enumerate((CAT, DOG)):
                annotations.append({"id": 2 * number + kind, "image_id": number, "category_id": kind, "bbox": place})
        categories = [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}]
        content = {"images": images, "annotations": annotations, "categories": categories}
        (folder / f"{split}.json").write_text(json.dumps(content))
    return folder
