"""Changes of colour, as one linear map per picture: hue, saturation, contrast, brightness and white balance at once."""

import numpy as np

from engines.detections import Floats
from engines.training.augment import Augmentation, factors

_LUMA = np.array([0.299, 0.587, 0.114])  # BT.601, what JPEG's Y is made of
_MIDDLE = 0.45  # brightness that contrast turns around


def colour_maps(random: np.random.Generator, inputs: int, wanted: Augmentation) -> tuple[Floats, Floats]:
    """Matrices (B, 3, 3) and offsets (B, 3): RGB 0 to 1 becomes matrix @ RGB + offset, to be clipped.

    Hue is turned about the grey axis (Rodrigues' formula), which a matrix can do and the HSV colour space,
    usual elsewhere, can't: it costs three times as much per picture.
    """
    angle = 2 * np.pi * random.uniform(-wanted.hue, wanted.hue, inputs)[:, None, None]
    axis = np.full((3, 3), 1 / 3)
    cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
    turned = np.cos(angle) * np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * axis
    saturation = factors(random, wanted.saturation, (inputs, 1, 1))
    saturation[random.random(inputs) < wanted.grey] = 0
    saturated = saturation * np.eye(3) + (1 - saturation) * np.ones((3, 1)) * _LUMA
    contrast = factors(random, wanted.contrast, (inputs, 1, 1))
    gains = factors(random, wanted.brightness, (inputs, 1, 1)) * factors(random, wanted.balance, (inputs, 3, 1))
    matrix = gains * contrast * (turned @ saturated)
    offset = (gains * (1 - contrast))[..., 0] * _MIDDLE
    return matrix.astype(np.float32), np.broadcast_to(offset, (inputs, 3)).astype(np.float32)
