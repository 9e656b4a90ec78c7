"""What stands still: sky, houses, pavements, road. Drawn once."""

from collections.abc import Sequence

import cv2
import numpy as np

from producers.street.camera import FAR_KERB, HEIGHT_M, HOUSES, LANE_LINE, NEAR_KERB, Camera
from producers.street.canvas import Canvas, Colour, Pixels, darker

_WALLS = [(150, 165, 180), (120, 140, 175), (170, 175, 175), (110, 120, 150), (140, 160, 165), (160, 180, 200)]
_SHOPS = [(60, 60, 120), (90, 60, 40), (60, 90, 60), (50, 50, 55), (40, 90, 150)]
_PANE, _FRAME = (125, 110, 95), (205, 210, 212)
_ASPHALT, _SLABS, _KERB, _PAINT = (92, 90, 88), (150, 154, 158), (175, 178, 180), (215, 218, 220)
STOREY_M = 3.1


def draw_backdrop(camera: Camera, seed: int) -> Pixels:
    """The empty street, BGR (height, width, 3)."""
    random = np.random.default_rng([seed, 3])
    picture = _sky(camera, random)
    _houses(picture, camera, random)
    _ground(picture, camera)
    _markings(picture, camera)
    grain = random.normal(0, 4, (*picture.shape[:2], 1))
    coarse = random.normal(0, 3, (camera.height // 24 + 1, camera.width // 24 + 1, 1)).astype(np.float32)
    grain += cv2.resize(coarse, (camera.width, camera.height), interpolation=cv2.INTER_CUBIC)[..., None]
    return np.clip(picture + grain, 0, 255).astype(np.uint8)


def draw_pole(scale: float) -> Canvas:
    """A street lamp."""
    canvas = Canvas(1.6, 6.2, scale)
    canvas.limb([(0.3, 0), (0.3, 5.7), (0.45, 5.95), (1.2, 6.05)], 0.11, (75, 78, 75))
    canvas.box(0.18, 0, 0.42, 0.9, (65, 68, 65))
    canvas.polygon([(0.95, 6.0), (1.5, 6.0), (1.4, 6.14), (1.05, 6.14)], (215, 225, 225))
    return canvas


def draw_tree(look: int, scale: float) -> Canvas:
    """A street tree."""
    random = np.random.default_rng([17, look])
    canvas = Canvas(4.2, 6.0, scale)
    canvas.limb([(2.1, 0), (2.05, 2.2), (2.15, 3.2)], 0.26, (50, 65, 80))
    for _ in range(60):
        angle, reach = random.uniform(0, 2 * np.pi), float(np.sqrt(random.random()))
        centre = 2.1 + 1.5 * reach * np.cos(angle), 4.1 + 1.35 * reach * np.sin(angle)
        light = float(random.uniform(0.7, 1.2)) * (0.85 + 0.12 * (centre[1] - 3.5))
        canvas.oval(centre, random.uniform(0.25, 0.5), random.uniform(0.2, 0.4), darker((45, 105, 75), light))
    return canvas


def _sky(camera: Camera, random: np.random.Generator) -> Pixels:
    rows = np.linspace(0, 1, camera.height)[:, None, None]
    sky = np.array([225, 190, 150]) * (1 - rows) + np.array([235, 228, 220]) * rows
    noise = random.normal(0, 1, (6, 12)).astype(np.float32)
    clouds = cv2.resize(noise, (camera.width, camera.height), interpolation=cv2.INTER_CUBIC)[..., None]
    clouded: Pixels = np.clip(sky + np.clip(clouds, 0, 1) * 30, 0, 255).astype(np.uint8)
    return clouded


def _houses(picture: Pixels, camera: Camera, random: np.random.Generator) -> None:
    x, edge = -camera.half_width(HOUSES) - 3, camera.half_width(HOUSES)
    while x < edge:
        width, storeys = float(random.uniform(8, 14)), int(random.integers(2, 5))
        _house(picture, camera, random, (x, x + width), storeys)
        x += width


def _house(
    picture: Pixels, camera: Camera, random: np.random.Generator, sides: tuple[float, float], storeys: int
) -> None:
    wall = _WALLS[int(random.integers(len(_WALLS)))]
    left, right = sides
    top = 0.6 + storeys * STOREY_M
    _front(picture, camera, (left, 0, right, top), wall)
    _front(picture, camera, (left, top, right, top + 0.35), darker(wall, 0.75))
    _shop(picture, camera, (left, right), _SHOPS[int(random.integers(len(_SHOPS)))])
    columns = max(2, int((right - left) / 2.6))
    step = (right - left) / columns
    for storey in range(1, storeys):
        sill = 0.6 + storey * STOREY_M + 0.7
        for column in range(columns):
            middle = left + (column + 0.5) * step
            _front(picture, camera, (middle - 0.68, sill - 0.08, middle + 0.68, sill + 1.68), _FRAME)
            pane = darker(_PANE, float(random.uniform(0.6, 1.15)))
            _front(picture, camera, (middle - 0.58, sill, middle - 0.04, sill + 1.58), pane)
            _front(picture, camera, (middle + 0.04, sill, middle + 0.58, sill + 1.58), pane)


def _shop(picture: Pixels, camera: Camera, sides: tuple[float, float], colour: Colour) -> None:
    left, right = sides
    _front(picture, camera, (left + 0.4, 0.5, right - 2.0, 2.6), _FRAME)
    _front(picture, camera, (left + 0.55, 0.6, right - 2.15, 2.5), darker(_PANE, 0.7))
    _front(picture, camera, (left + 0.3, 2.65, right - 0.4, 3.25), colour)
    _front(picture, camera, (left + 1.2, 2.85, (left + right) / 2 + 1, 3.05), (225, 230, 232))
    _front(picture, camera, (right - 1.6, 0.1, right - 0.6, 2.5), darker(colour, 1.2))
    _front(picture, camera, (right - 1.45, 1.2, right - 0.75, 2.35), _PANE)


def _front(picture: Pixels, camera: Camera, area: tuple[float, float, float, float], colour: Colour) -> None:
    """A rectangle on the houses' fronts: left, bottom, right, top in metres."""
    left, bottom, right, top = area
    corners = (left, bottom), (right, bottom), (right, top), (left, top)
    _fill(picture, [camera.project(x, HOUSES, above) for x, above in corners], colour)


def _flat(picture: Pixels, camera: Camera, area: tuple[float, float, float, float], colour: Colour) -> None:
    """A rectangle on the ground: left, near, right, far in metres."""
    left, near, right, far = area
    corners = (left, near), (right, near), (right, far), (left, far)
    _fill(picture, [camera.project(x, distance) for x, distance in corners], colour)


def _fill(picture: Pixels, corners: Sequence[tuple[float, float]], colour: Colour) -> None:
    points = np.round((np.array(corners) - 0.5) * 16).astype(np.int32)
    cv2.fillPoly(picture, [points], colour, cv2.LINE_AA, 4)


def _ground(picture: Pixels, camera: Camera) -> None:
    near = HEIGHT_M * 0.5  # closer than the lower edge of any picture
    side = camera.half_width(HOUSES) + 2
    _flat(picture, camera, (-side, near, side, NEAR_KERB), _SLABS)
    _flat(picture, camera, (-side, FAR_KERB, side, HOUSES), _SLABS)
    for first, last in ((7.0, NEAR_KERB), (FAR_KERB, HOUSES)):
        for distance in np.arange(first, last, 1.0):
            _flat(picture, camera, (-side, distance, side, distance + 0.04), darker(_SLABS, 0.88))
        for x in np.arange(-np.ceil(side), side, 1.0):
            _flat(picture, camera, (x, first, x + 0.035, last), darker(_SLABS, 0.88))
    _flat(picture, camera, (-side, NEAR_KERB, side, FAR_KERB), _ASPHALT)
    for kerb in (NEAR_KERB, FAR_KERB):
        _flat(picture, camera, (-side, kerb - 0.16, side, kerb + 0.16), _KERB)
        _flat(picture, camera, (-side, kerb + 0.16, side, kerb + 0.45), darker(_ASPHALT, 0.85))


def _markings(picture: Pixels, camera: Camera) -> None:
    side = camera.half_width(FAR_KERB) + 2
    for x in np.arange(-np.ceil(side / 4) * 4, side, 4.0):
        if abs(x + 0.9) > 3.5:
            _flat(picture, camera, (x, LANE_LINE - 0.08, x + 1.8, LANE_LINE + 0.08), _PAINT)
    for distance in np.arange(NEAR_KERB + 0.7, FAR_KERB - 0.5, 1.0):
        _flat(picture, camera, (-2.0, distance, 2.0, distance + 0.5), _PAINT)
