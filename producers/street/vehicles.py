"""Cars, buses, trucks and motorcycles, seen from the side and facing right."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from producers.street.canvas import Canvas, Colour, Point, darker

_PAINTS = [
    (200, 200, 205), (60, 60, 62), (30, 30, 33), (150, 150, 155), (40, 40, 160), (140, 70, 30), (90, 60, 30),
    (60, 90, 50), (70, 130, 200), (190, 160, 110), (225, 225, 228), (50, 70, 120),
]  # fmt: skip
_GLASS, _TYRE, _RIM, _TRIM = (120, 105, 85), (28, 28, 30), (150, 150, 155), (40, 40, 42)
_LAMP, _TAIL = (210, 235, 250), (45, 45, 200)

LENGTHS = {"car": 4.7, "bus": 11.2, "truck": 8.6, "motorcycle": 2.2}
_HEIGHTS = {"car": 2.0, "bus": 3.3, "truck": 3.6, "motorcycle": 1.35}


@dataclass(frozen=True, slots=True)
class _Shape:
    """Outline of a car from its rear sill over the roof to its front sill, and its side windows."""

    body: Sequence[Point]
    windows: Sequence[Sequence[Point]]


_SALOON = _Shape(
    [(0.1, 0.3), (0.08, 0.75), (0.2, 0.95), (0.85, 1.0), (1.35, 1.42), (2.55, 1.45), (3.25, 1.02), (4.25, 0.86),
     (4.5, 0.65), (4.5, 0.3)],
    [[(1.05, 1.0), (1.45, 1.36), (1.98, 1.38), (1.98, 1.0)], [(2.06, 1.0), (2.06, 1.38), (2.5, 1.37), (3.05, 1.0)]],
)  # fmt: skip
_HATCHBACK = _Shape(
    [(0.15, 0.3), (0.1, 0.8), (0.25, 1.05), (0.5, 1.45), (1.9, 1.53), (2.6, 1.45), (3.2, 1.02), (3.95, 0.85),
     (4.15, 0.6), (4.15, 0.3)],
    [[(0.5, 1.02), (0.72, 1.4), (1.5, 1.45), (1.5, 1.02)], [(1.6, 1.02), (1.6, 1.45), (2.45, 1.4), (3.0, 1.02)]],
)  # fmt: skip
_OFF_ROAD = _Shape(
    [(0.1, 0.38), (0.08, 1.1), (0.3, 1.75), (2.6, 1.8), (3.2, 1.2), (4.3, 1.08), (4.55, 0.8), (4.55, 0.38)],
    [[(0.42, 1.2), (0.5, 1.66), (1.3, 1.68), (1.3, 1.2)], [(1.42, 1.2), (1.42, 1.68), (2.15, 1.69), (2.15, 1.2)],
     [(2.25, 1.2), (2.25, 1.69), (2.52, 1.68), (2.95, 1.2)]],
)  # fmt: skip
_SHAPES = (_SALOON, _HATCHBACK, _OFF_ROAD)


def draw_vehicle(kind: str, look: int, scale: float) -> Canvas:
    """A vehicle of `kind` (a key of LENGTHS). look: seed of its shape and colours."""
    random = np.random.default_rng([13, look])
    paint = _PAINTS[int(random.integers(len(_PAINTS)))]
    canvas = Canvas(LENGTHS[kind], _HEIGHTS[kind], scale)
    _DRAW[kind](canvas, random, paint)
    canvas.shade(1.08, 0.88)
    return canvas


def _car(canvas: Canvas, random: np.random.Generator, paint: Colour) -> None:
    shape = _SHAPES[int(random.integers(len(_SHAPES)))]
    rear, front = shape.body[0][0], shape.body[-1][0]
    sill = shape.body[0][1]
    canvas.polygon(shape.body, paint)
    canvas.box(rear, sill - 0.08, front, sill + 0.12, darker(paint, 0.45))
    for window in shape.windows:
        canvas.polygon(window, _GLASS)
        low, high = window[0], window[1]
        canvas.limb([(low[0] + 0.2, low[1] + 0.06), (high[0] + 0.3, high[1] - 0.08)], 0.03, (175, 165, 150))
    door, waist = shape.windows[0][-1][0] + 0.04, shape.windows[0][0][1]
    canvas.limb([(door, sill + 0.15), (door, waist)], 0.02, darker(paint, 0.6))
    canvas.limb([(door + 0.15, waist - 0.14), (door + 0.35, waist - 0.14)], 0.035, darker(paint, 0.5))
    canvas.limb([(rear + 0.15, waist - 0.04), (front - 0.5, waist - 0.12)], 0.02, darker(paint, 1.2))
    canvas.box(rear, waist - 0.3, rear + 0.12, waist - 0.1, _TAIL)
    canvas.box(front - 0.22, sill + 0.3, front - 0.02, sill + 0.44, _LAMP)
    for x in (rear + 0.78, front - 0.78):
        _wheel(canvas, x, 0.33)


def _bus(canvas: Canvas, random: np.random.Generator, paint: Colour) -> None:
    stripe = _PAINTS[int(random.integers(len(_PAINTS)))]
    canvas.polygon([(0.1, 0.35), (0.1, 3.0), (0.25, 3.15), (10.8, 3.15), (11.05, 2.7), (11.1, 0.35)], paint)
    canvas.box(0.1, 0.85, 11.05, 1.15, stripe)
    canvas.box(0.3, 1.45, 10.95, 2.62, _TRIM)
    for left in np.arange(0.4, 10.6, 1.32):
        canvas.box(left, 1.52, left + 1.2, 2.55, _GLASS)
        if random.random() < 0.6:  # a passenger
            canvas.oval((left + 0.6, 1.9), 0.14, 0.17, (75, 85, 105))
            canvas.box(left + 0.38, 1.52, left + 0.82, 1.72, (60, 60, 75))
    for left in (4.4, 9.6):
        canvas.box(left, 0.42, left + 1.1, 2.5, _TRIM)
        canvas.box(left + 0.07, 0.5, left + 0.5, 2.42, darker(_GLASS, 1.1))
        canvas.box(left + 0.6, 0.5, left + 1.03, 2.42, darker(_GLASS, 1.1))
    canvas.box(8.2, 2.72, 10.6, 3.02, (20, 20, 20))
    canvas.limb([(8.5, 2.87), (10.2, 2.87)], 0.12, (60, 170, 240))
    canvas.box(0.08, 1.0, 0.2, 1.4, _TAIL)
    canvas.box(10.95, 0.62, 11.1, 0.85, _LAMP)
    for x in (2.4, 8.7):
        _wheel(canvas, x, 0.48)


def _truck(canvas: Canvas, random: np.random.Generator, paint: Colour) -> None:
    load = _PAINTS[int(random.integers(len(_PAINTS)))]
    canvas.box(0.1, 0.55, 8.2, 0.85, _TRIM)
    if random.random() < 0.6:
        canvas.box(0.1, 0.9, 6.3, 3.5, load)
        for x in np.arange(0.5, 6.2, 0.6):
            canvas.limb([(x, 0.95), (x, 3.45)], 0.03, darker(load, 0.88))
        canvas.box(1.4, 1.9, 4.8, 2.6, darker(load, 0.6))
    else:
        canvas.box(0.1, 0.9, 6.3, 1.6, load)
        heap = [(0.3, 1.6), (1.2, 2.1), (2.6, 2.25), (4.1, 2.05), (5.2, 2.2), (6.1, 1.6)]
        canvas.polygon(heap, (70, 95, 125))
    canvas.polygon([(6.5, 0.5), (6.5, 2.75), (7.9, 2.75), (8.35, 1.7), (8.5, 1.5), (8.5, 0.5)], paint)
    canvas.polygon([(7.0, 1.65), (7.0, 2.5), (7.75, 2.5), (8.12, 1.65)], _GLASS)
    canvas.limb([(6.95, 0.6), (6.95, 2.55)], 0.025, darker(paint, 0.6))
    canvas.box(8.32, 0.75, 8.5, 0.98, _LAMP)
    canvas.box(0.08, 0.62, 0.2, 0.8, _TAIL)
    for x in (1.4, 2.5, 7.5):
        _wheel(canvas, x, 0.5)


def _motorcycle(canvas: Canvas, random: np.random.Generator, paint: Colour) -> None:
    for x in (0.38, 1.78):
        _wheel(canvas, x, 0.32)
    canvas.limb([(1.78, 0.32), (1.5, 1.0)], 0.07, _RIM)
    canvas.limb([(0.38, 0.32), (0.95, 0.45), (1.45, 0.5)], 0.12, _TRIM)
    canvas.polygon([(0.75, 0.35), (1.3, 0.32), (1.42, 0.66), (0.8, 0.66)], (70, 70, 75))
    canvas.polygon([(0.95, 0.68), (1.45, 0.62), (1.55, 0.9), (1.35, 0.98), (1.0, 0.85)], paint)
    canvas.polygon([(0.2, 0.86), (0.35, 0.72), (0.98, 0.7), (0.98, 0.83)], (30, 30, 32))
    canvas.limb([(0.5, 0.34), (0.02, 0.42)], 0.09, _RIM)
    canvas.limb([(1.5, 1.0), (1.4, 1.12)], 0.05, _TRIM)
    canvas.oval((1.63, 0.92), 0.09, 0.11, _LAMP)


def _wheel(canvas: Canvas, x: float, radius: float) -> None:
    canvas.oval((x, radius), radius, radius, _TYRE)
    canvas.oval((x, radius), radius * 0.6, radius * 0.6, _RIM)
    canvas.oval((x, radius), radius * 0.2, radius * 0.2, _TRIM)


_DRAW = {"car": _car, "bus": _bus, "truck": _truck, "motorcycle": _motorcycle}
