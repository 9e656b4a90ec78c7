"""The street's picture number k, and what is in it: pure functions of the seed and k."""

from collections import OrderedDict
from collections.abc import Iterable
from functools import cached_property
from math import log, pi, sin
from typing import Any, NamedTuple

import cv2
import numpy as np

from producers.street.backdrop import draw_backdrop, draw_pole, draw_tree
from producers.street.camera import FAR_KERB, Camera
from producers.street.canvas import Canvas, Pixels
from producers.street.people import POSES, STRIDE_M, draw_rider, draw_walker
from producers.street.traffic import Actor, Traffic
from producers.street.vehicles import draw_vehicle

# Class names and numbers as in COCO.
CLASSES = {"person": 1, "car": 3, "motorcycle": 4, "bus": 6, "truck": 8}
_STEP = 1.015  # scales are rounded to powers of this, so that sprites can be used again
_SPRITES = 600  # kept; some 30 MB at 1280x720
_POLES, _TREES = (-11.0, 7.5), (-5.0, 12.5)  # metres from the middle
_DAY_S = 90.0  # from cloud to cloud


class Truth(NamedTuple):
    """Something in a picture.

    kind: a key of CLASSES. box: left, top, right, bottom of all of it that lies inside the picture, also what
    is hidden behind other things, in pixels. visible: part of its area that is seen, 0 to 1; what lies outside of
    the picture or behind other things is not. track: the same in all pictures, never used again.
    """

    kind: str
    box: tuple[int, int, int, int]
    visible: float
    track: int


class _Sprite(NamedTuple):
    """colours: multiplied by the mask. rest: what remains of the background, 255 - mask, three times."""

    colours: Pixels
    rest: Pixels
    mask: Pixels


class _Placed(NamedTuple):
    sprite: _Sprite
    left: int
    top: int
    actor: Actor | None  # None: part of the street


class Street:
    """A street seen by a camera.

    Args:
        size: (width, height) of the picture in pixels, even numbers from 64 on.
        fps: pictures per second.
        seed: of everything; the same seed is the same street, day and people.
        objects: about how many people and vehicles are in the picture at a time.
    """

    def __init__(
        self, size: tuple[int, int] = (1280, 720), fps: float = 25.0, seed: int = 0, objects: int = 12
    ) -> None:
        self.size, self.fps, self.seed = size, fps, seed
        self._camera = Camera(*size)
        self._traffic = Traffic(self._camera, seed, objects)
        self._sprites: OrderedDict[object, _Sprite] = OrderedDict()

    def draw(self, index: int) -> Pixels:
        """Picture number `index`: BGR (height, width, 3), uint8, the caller's own."""
        picture: Pixels = self._backdrop.copy()
        placed = self._placed(index)
        for thing in placed:
            if thing.actor:
                self._draw_shadow(picture, thing, thing.actor.distance)
        for thing in placed:
            _blend(picture, thing)
        light = 0.93 + 0.07 * sin(2 * pi * (index / self.fps / _DAY_S + self.seed % 7 / 7))
        cv2.convertScaleAbs(picture, dst=picture, alpha=light)
        return picture

    def ground_truth(self, index: int) -> list[Truth]:
        """Everything in picture number `index`, the farthest first."""
        placed = self._placed(index)
        front = np.zeros((self.size[1], self.size[0]), np.uint16)  # number of the foremost thing, per pixel
        for number, thing in enumerate(placed, 1):
            rows, columns, part = _window(front.shape, thing.sprite.mask, thing.left, thing.top)
            front[rows, columns][part > 127] = number
        seen = np.bincount(front.ravel(), minlength=len(placed) + 1)
        found = []
        for number, thing in enumerate(placed, 1):
            box = _box(self.size, thing)
            if thing.actor and box:
                visible = float(seen[number] / np.count_nonzero(thing.sprite.mask > 127))
                found.append(Truth(thing.actor.kind, box, visible, thing.actor.track))
        return found

    @cached_property
    def _backdrop(self) -> Pixels:
        return draw_backdrop(self._camera, self.seed)

    def _placed(self, index: int) -> list[_Placed]:
        actors = self._traffic.at(index / self.fps)
        placed = [self._place_actor(actor) for actor in actors if actor.distance > FAR_KERB + 0.7]
        placed += self._furniture
        return placed + [self._place_actor(actor) for actor in actors if actor.distance <= FAR_KERB + 0.7]

    @cached_property
    def _furniture(self) -> list[_Placed]:
        scale = self._camera.scale(FAR_KERB + 0.7)
        trees = [(x, draw_tree(number, scale)) for number, x in enumerate(_TREES)]
        things = [*trees, *((x, draw_pole(scale)) for x in _POLES)]
        return [self._place(_sprite(canvas, 1), x, FAR_KERB + 0.7, None) for x, canvas in things]

    def _place_actor(self, actor: Actor) -> _Placed:
        scale = _STEP ** round(log(self._camera.scale(actor.distance), _STEP))
        pose = int(actor.walked / STRIDE_M * POSES) % POSES if actor.role == "walker" else 0
        key = actor.role, actor.look, pose, scale, actor.facing
        sprite = self._sprites.get(key)
        if sprite is None:
            sprite = self._sprites[key] = _sprite(_draw(actor, pose, scale), actor.facing)
            if len(self._sprites) > _SPRITES:
                self._sprites.popitem(last=False)
        self._sprites.move_to_end(key)
        return self._place(sprite, actor.x, actor.distance, actor)

    def _place(self, sprite: _Sprite, x: float, distance: float, actor: Actor | None) -> _Placed:
        middle, ground = self._camera.project(x, distance)
        height, width = sprite.mask.shape
        return _Placed(sprite, round(middle - width / 2), round(ground) - height, actor)

    def _draw_shadow(self, picture: Pixels, thing: _Placed, distance: float) -> None:
        height, width = thing.sprite.mask.shape
        wide, flat = max(2, round(width * 0.36)), max(1, round(self._camera.scale(distance) * 0.16))
        shadow = np.full((2 * flat + 3, 2 * wide + 3, 3), 255, np.uint8)
        cv2.ellipse(shadow, (wide + 1, flat + 1), (wide, flat), 0, 0, 360, (150, 150, 150), -1, cv2.LINE_AA)
        left, top = thing.left + width // 2 - wide - 1, thing.top + height - flat - 1
        rows, columns, rest = _window(picture.shape, shadow, left, top)
        if rest.size:
            cv2.multiply(picture[rows, columns], rest, dst=picture[rows, columns], scale=1 / 255)


def coco(street: Street, indexes: Iterable[int], min_visible: float = 0.2) -> dict[str, Any]:
    """Ground truth in COCO's format: images (named frame_000012.jpg), annotations, categories.

    min_visible: things that are seen less are marked `ignore` and `iscrowd`, which evaluation leaves out.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for index in indexes:
        image = {"id": index, "file_name": f"frame_{index:06d}.jpg", "width": street.size[0], "height": street.size[1]}
        images.append(image)
        for truth in street.ground_truth(index):
            annotations.append(_annotation(len(annotations) + 1, index, truth, truth.visible < min_visible))
    categories = [{"id": number, "name": name} for name, number in CLASSES.items()]
    return {"images": images, "annotations": annotations, "categories": categories}


def _annotation(number: int, image: int, truth: Truth, ignore: bool) -> dict[str, Any]:
    left, top, right, bottom = truth.box
    width, height = right - left, bottom - top
    return {
        "id": number,
        "image_id": image,
        "category_id": CLASSES[truth.kind],
        "bbox": [left, top, width, height],
        "area": width * height,
        "iscrowd": int(ignore),
        "ignore": int(ignore),
        "visible": round(truth.visible, 4),
        "track_id": truth.track,
    }


def _draw(actor: Actor, pose: int, scale: float) -> Canvas:
    if actor.role == "walker":
        return draw_walker(actor.look, pose, scale)
    if actor.role == "rider":
        return draw_rider(actor.look, scale)
    return draw_vehicle(actor.kind, actor.look, scale)


def _sprite(canvas: Canvas, facing: int) -> _Sprite:
    colours, mask = canvas.finish(mirrored=facing < 0)
    return _Sprite(colours, cv2.merge([255 - mask] * 3), mask)


def _blend(picture: Pixels, thing: _Placed) -> None:
    rows, columns, rest = _window(picture.shape, thing.sprite.rest, thing.left, thing.top)
    if not rest.size:
        return
    colours = _window(picture.shape, thing.sprite.colours, thing.left, thing.top)[2]
    window = picture[rows, columns]
    cv2.multiply(window, rest, dst=window, scale=1 / 255)
    cv2.add(window, colours, dst=window)


def _window(shape: tuple[int, ...], sprite: Pixels, left: int, top: int) -> tuple[slice, slice, Pixels]:
    """Rows and columns of a picture that a sprite covers, and the part of the sprite that lies in the picture."""
    height, width = sprite.shape[:2]
    rows, columns = slice(max(top, 0), min(top + height, shape[0])), slice(max(left, 0), min(left + width, shape[1]))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return slice(0, 0), slice(0, 0), sprite[:0, :0]
    part = sprite[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    return rows, columns, part


def _box(size: tuple[int, int], thing: _Placed) -> tuple[int, int, int, int] | None:
    rows, columns, part = _window((size[1], size[0]), thing.sprite.mask, thing.left, thing.top)
    left, top, width, height = cv2.boundingRect((part > 127).astype(np.uint8)) if part.size else (0, 0, 0, 0)
    if not width:
        return None
    return columns.start + left, rows.start + top, columns.start + left + width, rows.start + top + height
