"""A tiny data set: bright rectangles and discs on grey, drawn here."""

import json
from pathlib import Path

import cv2
import numpy as np

NAMES = ("box", "disc")
SIDE = 64


def draw(folder: Path, train: int = 12, val: int = 6, seed: int = 0) -> Path:
    """Writes a COCO data set with the splits train and val; sources "a" and "b" by turns."""
    random = np.random.default_rng(seed)
    for split, count in (("train", train), ("val", val)):
        pictures, marks = [], []
        (folder / "images" / split).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            kind = number % 2
            box = _place(random)
            name = f"{number}.png"
            assert cv2.imwrite(str(folder / "images" / split / name), _picture(random, kind, box))
            pictures.append({"id": number, "file_name": name, "width": SIDE, "height": SIDE, "source": "ab"[kind]})
            marks.append({"id": number, "image_id": number, "category_id": kind, "bbox": box, "iscrowd": 0, "area": 1})
        names = [{"id": number, "name": name} for number, name in enumerate(NAMES)]
        content = {"images": pictures, "annotations": marks, "categories": names}
        (folder / f"{split}.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def _place(random: np.random.Generator) -> list[int]:
    side = int(random.integers(20, 36))
    left, top = (int(random.integers(2, SIDE - side - 2)) for _ in range(2))
    return [left, top, side, side]


def _picture(random: np.random.Generator, kind: int, box: list[int]) -> np.ndarray:
    pixels = random.integers(90, 120, (SIDE, SIDE, 3), dtype=np.uint8)
    left, top, side, _ = box
    if kind == 0:
        pixels[top : top + side, left : left + side] = (60, 200, 240)
    else:
        cv2.circle(pixels, (left + side // 2, top + side // 2), side // 2, (240, 120, 40), -1)
    return pixels
