"""Kalman motion of all tracks at once: constant velocity, in seconds and in sizes of the object.

SORT (Bewley et al. 2016) and ByteTrack (Zhang et al. 2022) move a box by a Kalman filter of eight numbers: middle,
size and their velocities. Its matrices never mix the four coordinates, so it falls into four filters of two numbers
each. With noise in proportion to the object's size, the same for each coordinate, as BoT-SORT (Aharon et al. 2022)
has it for width and height, the four share one 2x2 covariance. What is left is a dozen elementwise operations on
columns: no matrix product, whose rounding depends on the processor, so that a track goes on bit for bit on another
machine. Process noise is white acceleration over the time that went by, however long (Bar-Shalom et al. 2001, 6.2).
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

MEASURED = 0.08  # standard deviation of a box's middle and size, in sizes
SPEED = 1.0  # standard deviation of an unknown velocity, sizes per second: a person's walk is 0.8 of their height
DRIFT = 0.4  # of velocity within a second, sizes per second: somebody stops, turns, starts
TURN_OF_LOW = 2.0  # how much less a box with score 0 is believed than one with score 1, as standard deviation


def size(boxes: Array) -> Array:
    """(N,) mean of width and height, of boxes (N, 4) middle x, y, width, height."""
    return 0.5 * (boxes[:, 2] + boxes[:, 3])


def measured_variance(boxes: Array, scores: Array) -> Array:
    """(N,) variance of boxes as measured, in square pixels; unsure detections are less exact (Du et al. 2021)."""
    deviation = MEASURED * size(boxes) * (TURN_OF_LOW - (TURN_OF_LOW - 1) * scores)
    return deviation * deviation


def first_spread(boxes: Array, variance: Array) -> Array:
    """(N, 3) covariance of a new track: of position, of position with velocity, of velocity."""
    speed = SPEED * size(boxes)
    return np.stack((variance, np.zeros_like(variance), speed * speed), axis=1)


def predict(boxes: Array, velocity: Array, spread: Array, seconds: float) -> None:
    """Moves boxes (N, 4) on by their velocity (N, 4), pixels per second; all in place, the spread (N, 3) grows."""
    drift = DRIFT * size(boxes)
    noise = drift * drift * seconds
    boxes += velocity * seconds
    # What shrinks must not shrink to nothing.
    np.maximum(boxes[:, 2:], 1.0, out=boxes[:, 2:])
    position, mixed, speed = spread.T
    position += seconds * (2 * mixed + seconds * (speed + noise / 3))
    mixed += seconds * (speed + noise / 2)
    speed += noise


def correct(boxes: Array, velocity: Array, spread: Array, seen: Array, variance: Array) -> None:
    """Takes in that boxes `seen` (N, 4) were measured, with a variance (N,); all in place, the spread shrinks."""
    position, mixed, speed = spread.T
    total = position + variance
    gain, speed_gain = position / total, mixed / total
    wrong = seen - boxes
    boxes += gain[:, None] * wrong
    velocity += speed_gain[:, None] * wrong
    speed -= speed_gain * mixed
    rest = 1 - gain
    mixed *= rest
    position *= rest
