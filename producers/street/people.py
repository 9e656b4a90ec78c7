"""People: walking, standing, riding; no two alike."""

from math import pi, sin

import numpy as np

from producers.street.canvas import Canvas, Colour, Point, darker

POSES = 10
STRIDE_M = 1.4  # walked in one round of poses
WIDTH_M, HEIGHT_M = 1.3, 2.15
_SKINS = [(190, 205, 235), (150, 180, 225), (120, 150, 205), (80, 110, 165), (50, 75, 120), (40, 55, 90)]
_HAIR = [(20, 20, 25), (30, 45, 70), (60, 110, 160), (40, 60, 110), (150, 150, 155), (25, 30, 45)]
_CLOTHES = [
    (40, 40, 45), (120, 70, 40), (60, 60, 170), (200, 200, 205), (90, 110, 60), (50, 130, 190), (140, 100, 130),
    (100, 100, 105), (170, 140, 60), (60, 30, 90), (180, 190, 150), (35, 55, 80),
]  # fmt: skip
_TROUSERS = [(90, 60, 40), (35, 35, 40), (110, 80, 55), (80, 95, 110), (60, 65, 70), (130, 140, 150)]


def draw_walker(look: int, pose: int, scale: float) -> Canvas:
    """A person seen from the side, walking to the right. look: seed of what they wear; pose: 0 to POSES - 1."""
    random = np.random.default_rng([7, look])
    size = float(random.uniform(0.86, 1.08)) * 1.75
    skin, hair = _pick(random, _SKINS), _pick(random, _HAIR)
    top, legs = _pick(random, _CLOTHES), _pick(random, _TROUSERS)
    swing = sin(2 * pi * pose / POSES)
    canvas = Canvas(WIDTH_M, HEIGHT_M, scale)
    figure = _Figure(canvas, size, WIDTH_M / 2, float(random.uniform(0.9, 1.2)))
    coat, bag = random.random() < 0.3, random.random()
    figure.arm(-swing, darker(top, 0.65), skin)
    figure.leg(-swing, darker(legs, 0.7))
    figure.leg(swing, legs)
    if bag < 0.25:
        figure.backpack(_pick(random, _CLOTHES))
    figure.torso(top, coat)
    figure.arm(swing, darker(top, 0.85), skin)
    figure.head(skin, hair, hat=_pick(random, _CLOTHES) if random.random() < 0.2 else None, long=random.random() < 0.4)
    if bag > 0.8:
        figure.handbag(swing, _pick(random, _CLOTHES))
    canvas.shade()
    return canvas


def draw_rider(look: int, scale: float) -> Canvas:
    """A motorcycle's rider, seen from the side, riding to the right; fits over vehicles.draw_motorcycle."""
    random = np.random.default_rng([11, look])
    jacket, trousers, helmet = _pick(random, _CLOTHES), _pick(random, _TROUSERS), _pick(random, _CLOTHES)
    canvas = Canvas(2.2, 1.75, scale)
    canvas.limb([(0.85, 0.86), (1.2, 0.72), (1.05, 0.34), (1.17, 0.3)], 0.16, trousers)
    canvas.polygon([(0.68, 0.82), (0.98, 0.8), (1.24, 1.34), (1.12, 1.46), (0.92, 1.42)], jacket)
    canvas.limb([(1.12, 1.36), (1.3, 1.1), (1.56, 1.06)], 0.12, darker(jacket))
    canvas.oval((1.22, 1.57), 0.15, 0.17, helmet)
    canvas.polygon([(1.27, 1.5), (1.38, 1.52), (1.37, 1.62), (1.27, 1.65)], (50, 45, 40))
    canvas.shade()
    return canvas


class _Figure:
    """Body parts of a person `size` metres tall who stands at `x`; `swing` goes from -1 (back) to 1 (front)."""

    def __init__(self, canvas: Canvas, size: float, x: float, girth: float) -> None:
        self._canvas, self._size, self._x, self._girth = canvas, size, x, girth

    def _at(self, x: float, y: float) -> Point:
        return self._x + x * self._size, y * self._size

    def leg(self, swing: float, colour: Colour) -> None:
        foot, lift = swing * 0.17, max(0.0, -swing) * 0.05
        knee = self._at(swing * 0.1 + 0.03, 0.27)
        self._canvas.limb([self._at(0, 0.5), knee, self._at(foot, 0.05 + lift)], 0.078 * self._size, colour)
        heel, toe = self._at(foot - 0.02, 0.02 + lift), self._at(foot + 0.07, 0.018 + lift)
        self._canvas.limb([heel, toe], 0.036 * self._size, (30, 30, 35))

    def arm(self, swing: float, colour: Colour, skin: Colour) -> None:
        elbow, hand = self._at(-swing * 0.07 - 0.01, 0.64), self._at(-swing * 0.14 + 0.04, 0.5)
        self._canvas.limb([self._at(0, 0.79), elbow, hand], 0.05 * self._size, colour)
        self._canvas.oval(hand, 0.024 * self._size, 0.026 * self._size, skin)

    def torso(self, colour: Colour, coat: bool) -> None:
        wide, hem = 0.085 * self._girth, 0.32 if coat else 0.47
        outline = [(-wide, 0.8), (-wide * 0.6, 0.84), (wide * 0.6, 0.84), (wide, 0.77)]
        outline += [(wide * 0.95, 0.6), (wide * (1.15 if coat else 0.9), hem), (-wide * (1.15 if coat else 0.9), hem)]
        self._canvas.polygon([self._at(x, y) for x, y in outline], colour)
        self._canvas.limb([self._at(wide * 0.3, 0.82), self._at(wide * 0.35, hem)], 0.006 * self._size, darker(colour))

    def backpack(self, colour: Colour) -> None:
        self._canvas.oval(self._at(-0.11, 0.69), 0.062 * self._size, 0.11 * self._size, colour)

    def handbag(self, swing: float, colour: Colour) -> None:
        x = -swing * 0.14 + 0.04
        outline = [(x - 0.06, 0.36), (x + 0.06, 0.36), (x + 0.045, 0.46), (x - 0.045, 0.46)]
        self._canvas.polygon([self._at(*point) for point in outline], colour)

    def head(self, skin: Colour, hair: Colour, hat: Colour | None, long: bool) -> None:
        self._canvas.limb([self._at(0.005, 0.82), self._at(0.01, 0.88)], 0.05 * self._size, darker(skin, 0.85))
        self._canvas.oval(self._at(0.0, 0.94), 0.062 * self._size, 0.066 * self._size, hair)
        if long:
            self._canvas.oval(self._at(-0.035, 0.88), 0.034 * self._size, 0.075 * self._size, hair)
        self._canvas.oval(self._at(0.018, 0.925), 0.045 * self._size, 0.056 * self._size, skin)
        self._canvas.oval(self._at(0.064, 0.92), 0.01 * self._size, 0.012 * self._size, skin)
        if hat:
            self._canvas.oval(self._at(0.0, 0.975), 0.064 * self._size, 0.034 * self._size, hat)
            self._canvas.limb([self._at(0.0, 0.962), self._at(0.09, 0.958)], 0.012 * self._size, darker(hat))


def _pick(random: np.random.Generator, colours: list[Colour]) -> Colour:
    base = colours[int(random.integers(len(colours)))]
    blue, green, red = (int(np.clip(part + random.integers(-14, 15), 0, 255)) for part in base)
    return blue, green, red
