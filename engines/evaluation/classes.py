"""Which classes of a model are which of a data set: those of the same name, whatever their numbers."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engines.detections import Detections, Ints
from streamer.errors import UsageError

_SHOWN = 5  # names in a line; a model of 80 classes is no screenful


@dataclass(frozen=True, slots=True, eq=False)
class SharedClasses:
    """What a model and a data set have in common.

    names: of the classes that both have. numbers: int64 (classes of the model,), of each in the data set, -1 if it
    has none. notes: what the one has and the other lacks, one line each.
    """

    names: tuple[str, ...]
    numbers: Ints
    notes: tuple[str, ...]

    def renumbered(self, found: Detections) -> Detections:
        """What was found, without what the data set has no class for, its classes numbered as there."""
        classes = self.numbers[found.classes]
        kept = classes >= 0
        return Detections(found.boxes[kept], found.scores[kept], classes[kept])


def share(model: str, classes: Sequence[str], labelled: Sequence[str]) -> SharedClasses:
    """What a model of `classes` and a data set `labelled` for some have in common. model: its name, for messages.

    Raises:
        UsageError: nothing.
    """
    shared = tuple(name for name in labelled if name in classes)
    if not shared:
        raise UsageError(
            f"{model} finds {_few(classes)} and the pictures are labelled for {_few(labelled)}: no class in common; "
            "give both the same names"
        )
    numbers = {name: number for number, name in enumerate(labelled)}
    table = np.array([numbers.get(name, -1) for name in classes], np.int64)
    notes = [_lacking(model, name, classes) for name in labelled if name not in shared]
    foreign = [name for name in classes if name not in shared]
    if foreign:
        notes.append(f"{model}: not labelled in these pictures, so left out: {_few(foreign)}")
    return SharedClasses(shared, table, tuple(notes))


def _lacking(model: str, name: str, classes: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, classes, 1)
    return f"{model}: it has no class {name!r}{f' (but {near[0]!r})' if near else ''}: counted as never found"


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
