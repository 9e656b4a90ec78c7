"""A drawn street with traffic: moving pictures with exact ground truth, from the repository alone."""

from producers.street.street import Street, Truth, coco

__all__ = ["Street", "Truth", "coco"]
