"""How often pictures of each class are taken for which."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engines.detections import Ints

_OTHER = "other"
_WIDEST = 16  # columns that a table has at most; larger ones are for programs


@dataclass(frozen=True, slots=True, eq=False)
class Confusion:
    """names: of the C classes that pictures are labelled with.

    counts: int64 (C, C + 1): row: class of the label; column: class of the answer, the last one: any other class.
    """

    names: tuple[str, ...]
    counts: Ints

    @property
    def pictures(self) -> int:
        """How many there are."""
        return int(self.counts.sum())

    @property
    def top1(self) -> float:
        """Accuracy: the share of all pictures whose answer is right; nan without pictures."""
        return _share(int(np.trace(self.counts)), self.pictures)

    def of_class(self, kind: int) -> int:
        """How many pictures of the class there are."""
        return int(self.counts[kind].sum())

    def recall(self, kind: int) -> float:
        """The share of a class's pictures that are taken for it; nan without pictures of it."""
        return _share(int(self.counts[kind, kind]), self.of_class(kind))

    def precision(self, kind: int) -> float:
        """The share of the pictures taken for a class that are of it; nan if none is."""
        return _share(int(self.counts[kind, kind]), int(self.counts[:, kind].sum()))


def confusion(labels: Sequence[int] | Ints, answers: Sequence[int] | Ints, names: Sequence[str]) -> Confusion:
    """Counts. labels, answers: a class's number per picture; an answer of -1: a class that is not in `names`.

    Raises:
        ValueError: there are more or fewer answers than labels.
    """
    counts = np.zeros((len(names), len(names) + 1), np.int64)
    for label, answer in zip(labels, answers, strict=True):
        counts[label, answer] += 1  # -1 is the last column
    return Confusion(tuple(names), counts)


def per_class(found: Confusion) -> list[tuple[str, int, str, str]]:
    """Name, pictures, recall and precision of each class, for tables."""
    return [
        (name, found.of_class(kind), _figure(found.recall(kind)), _figure(found.precision(kind)))
        for kind, name in enumerate(found.names)
    ]


def rows(found: Confusion) -> list[list[str]]:
    """The counts with their heads, for tables; none where there are too many classes to be read."""
    if len(found.names) > _WIDEST:
        return []
    columns = len(found.names) + bool(found.counts[:, -1].any())
    head = ["", *[*found.names, _OTHER][:columns]]
    named = zip(found.names, found.counts.tolist(), strict=True)
    return [head, *([name, *map(str, counts[:columns])] for name, counts in named)]


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


def _figure(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.3f}"
