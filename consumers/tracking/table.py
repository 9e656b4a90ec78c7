"""All tracks of a stream: one array, one row per track, so that every step is a few operations on columns."""

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from consumers.tracking.motion import Array, first_spread, measured_variance
from streamer.errors import RecordError

BOX = slice(0, 4)  # middle x, y, width, height as predicted or corrected last, upright source pixels
VELOCITY = slice(4, 8)  # of these, pixels per second
GROWTH = slice(6, 8)  # the velocity of width and height
SPREAD = slice(8, 11)  # variances, see motion
# Track's number, class index, whether it is confirmed; the score that its class was seen with, its boxes so far, times
# of the first and the last. Whole numbers of this size are exact in 64-bit floats.
ID, KIND, CONFIRMED, SCORE, HITS, BORN, SEEN = range(11, 18)
SHOWN = slice(ID, CONFIRMED + 1)
COLUMNS = 18


def empty() -> Array:
    """No tracks."""
    return np.empty((0, COLUMNS))


def begin(boxes: Array, scores: Array, classes: NDArray[np.int64], first_id: int, now: float) -> Array:
    """A row per box, with numbers from `first_id` on."""
    rows = np.zeros((len(boxes), COLUMNS))
    rows[:, BOX] = boxes
    rows[:, SPREAD] = first_spread(boxes, measured_variance(boxes, scores))
    rows[:, ID] = np.arange(first_id, first_id + len(boxes))
    rows[:, KIND], rows[:, SCORE], rows[:, HITS] = classes, scores, 1
    rows[:, BORN] = rows[:, SEEN] = now
    return rows


def dump_rows(table: Array, names: Sequence[str]) -> list[dict[str, Any]]:
    """Rows as JSON values; floats come back as they were, bit for bit. Classes by name: a list of them may grow."""
    return [{"class": names[int(row[KIND])], "row": row.tolist()} for row in table]


def load_rows(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Array:
    """What `dump_rows` gave.

    Raises:
        RecordError: it is damaged, or of a model that has other classes.
    """
    table = np.zeros((len(rows), COLUMNS))
    for number, saved in enumerate(rows):
        values = [float(value) for value in saved["row"]]
        if len(values) != COLUMNS or not all(map(isfinite, values)):
            raise RecordError("a track's state is damaged")
        if saved["class"] not in names:
            raise RecordError(f"a track is of class {saved['class']!r}, which the model doesn't have")
        table[number] = values
        table[number, KIND] = names.index(saved["class"])
    return table
