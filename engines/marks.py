"""Boxes drawn into pictures, for people."""

from collections.abc import Iterable

import cv2

Colour = tuple[int, int, int]


def mark(canvas: cv2.typing.MatLike, box: Iterable[float], text: str, colour: Colour, thickness: int = 2) -> None:
    """Draws a box, left, top, right, bottom, with a text above it. canvas: uint8 (height, width, 3), changed."""
    left, top, right, bottom = (round(float(value)) for value in box)
    cv2.rectangle(canvas, (left, top), (right, bottom), colour, thickness)
    cv2.putText(canvas, text, (left + 2, max(12, top - 4)), cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, 1, cv2.LINE_AA)
