"""Who is where at which time: a pure function of seed and time, so any picture can be drawn without the ones before."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from producers.street.camera import FAR_KERB, HOUSES, LANE_LINE, NEAR_KERB, NEAREST, Camera

# The traffic light's round, in seconds: starting, driving, braking, standing. While cars stand, people cross.
_START, _DRIVE, _BRAKE, _STAND = 2.0, 12.0, 2.0, 12.0
_ROUND = _START + _DRIVE + _BRAKE + _STAND
_SPEED = 9.0  # m/s
_GAP = 18.0  # metres from one vehicle to the next; a round takes each of them whole gaps further, so that
_PER_ROUND = _SPEED * (_START / 2 + _DRIVE + _BRAKE / 2) / _GAP  # (7) the crossing always lies between two
_CROSSING = (-1.6, 1.6)  # metres from the middle
_LANES = ((NEAR_KERB + 2.4, 1), (LANE_LINE + 2.0, -1))  # distance in metres, direction
_MOTORCYCLE_GAP = 0.35
LOOKS = 40  # of people, and of each kind of vehicle
VEHICLE_SHARE = 0.3


@dataclass(frozen=True, slots=True)
class Actor:
    """Someone or something that moves.

    track: the same number as long as it is on the street, never used again. kind: its class, named as in COCO.
    role: how it is drawn. look: seed of its looks. x, distance: of its middle, in metres. facing: 1 right, -1 left.
    walked: metres, what the pose of a walker follows.
    """

    track: int
    kind: str
    role: str
    look: int
    x: float
    distance: float
    facing: int
    walked: float = 0.0


class Traffic:
    """Everybody on a street. busy: about how many are in the picture at a time."""

    def __init__(self, camera: Camera, seed: int, busy: int) -> None:
        self._camera, self._seed = camera, seed
        people = round(busy * (1 - VEHICLE_SHARE))
        self._walkers, self._crossers = people - people // 5, people // 5
        # Both lanes together hold about three vehicles in the picture when every place is taken.
        self._taken = min(1.0, busy * VEHICLE_SHARE / 3)

    def at(self, seconds: float) -> list[Actor]:
        """Everybody who may be in the picture, the farthest first."""
        actors = [*self._vehicles(seconds), *self._on_pavements(seconds), *self._on_crossing(seconds)]
        return sorted(actors, key=lambda actor: (-actor.distance, actor.track))

    def _vehicles(self, seconds: float) -> Iterator[Actor]:
        driven = _driven(seconds)
        for lane, (distance, facing) in enumerate(_LANES):
            reach = self._camera.half_width(distance) + 8
            # Number n drives at n + 0.5 gaps behind the lane's beginning.
            first = int(np.ceil((driven - reach) / _GAP - 0.5))
            for number in range(first, int((driven + reach) / _GAP - 0.5) + 1):
                vehicle = _vehicle(self._seed, lane, number)
                if vehicle.chance >= self._taken:
                    continue
                x = facing * (driven - (number + 0.5) * _GAP + vehicle.shift)
                # Numbers go below zero for those who were on the street at the start.
                track = 1_000_000 * (lane + 1) + 2 * (number + 1000)
                yield Actor(track, vehicle.kind, vehicle.kind, vehicle.look, x, distance, facing)
                if vehicle.kind == "motorcycle":
                    nearer = distance - _MOTORCYCLE_GAP
                    yield Actor(track + 1, "person", "rider", vehicle.look, x, nearer, facing)

    def _on_pavements(self, seconds: float) -> Iterator[Actor]:
        for slot in range(self._walkers):
            near = slot % 3 == 0
            nearest, farthest = (NEAREST, NEAR_KERB - 0.8) if near else (FAR_KERB + 1.2, HOUSES - 1.5)
            way = 2 * self._camera.half_width(farthest) + 2  # the longest, so that one is gone when the next comes
            number, since = divmod(seconds + slot * 7.3, way / 0.95)
            walk = _walk(self._seed, slot, int(number))
            # How far to the side is seen at a walker's own distance, plus one metre to be out of the picture.
            distance = nearest + walk.depth * (farthest - nearest)
            edge = self._camera.half_width(distance) + 1
            walked = walk.speed * since
            if walked <= 2 * edge:
                track = 10_000_000 + slot * 100_000 + int(number)
                x = walk.facing * (walked - edge)
                yield Actor(track, "person", "walker", walk.look, x, distance, walk.facing, walked)

    def _on_crossing(self, seconds: float) -> Iterator[Actor]:
        number, since = divmod(seconds + _BRAKE, _ROUND)
        since -= _ROUND - _STAND  # seconds of standing still so far
        begin, end = NEAR_KERB - 0.8, FAR_KERB + 1.2
        for slot in range(self._crossers):
            walk = _walk(self._seed, 1000 + slot, int(number))
            walked = (since - 1.5 * walk.depth) * 1.25
            if not 0 <= walked <= end - begin:
                continue
            distance = begin + walked if walk.facing > 0 else end - walked
            x = _CROSSING[0] + walk.place * (_CROSSING[1] - _CROSSING[0])
            track = 50_000_000 + slot * 100_000 + int(number)
            yield Actor(track, "person", "walker", walk.look, x, distance, walk.facing, walked)


def _driven(seconds: float) -> float:
    """Metres that every vehicle has driven."""
    number, since = divmod(seconds, _ROUND)
    starting = min(since, _START)
    metres = _SPEED / _START / 2 * starting**2
    metres += _SPEED * min(max(since - _START, 0), _DRIVE)
    braking = min(max(since - _START - _DRIVE, 0), _BRAKE)
    metres += _SPEED * braking - _SPEED / _BRAKE / 2 * braking**2
    return float(number * _PER_ROUND * _GAP + metres)


class _Vehicle(NamedTuple):
    kind: str
    look: int
    chance: float
    shift: float


class _Walk(NamedTuple):
    look: int
    speed: float
    depth: float
    place: float
    facing: int


@lru_cache(4096)
def _vehicle(seed: int, lane: int, number: int) -> _Vehicle:
    random = np.random.default_rng([seed, 1, lane, number + 1_000_000])
    kind = str(random.choice(["car", "motorcycle", "bus", "truck"], p=[0.56, 0.18, 0.12, 0.14]))
    shift = float(random.uniform(-1, 1)) * (0.5 if kind == "bus" else 1.5)
    return _Vehicle(kind, int(random.integers(LOOKS)), float(random.random()), shift)


@lru_cache(4096)
def _walk(seed: int, slot: int, number: int) -> _Walk:
    random = np.random.default_rng([seed, 2, slot, number])
    look, facing = int(random.integers(LOOKS)), int(random.integers(2)) * 2 - 1
    return _Walk(look, float(random.uniform(1.0, 1.6)), float(random.random()), float(random.random()), facing)
