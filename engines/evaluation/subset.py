"""A part of a data set."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from streamer.errors import UsageError

if TYPE_CHECKING:
    from engines.training.dataset import Dataset

T = TypeVar("T")


def of_sources(dataset: "Dataset", sources: Sequence[str]) -> "Dataset":
    """The pictures from these sources; of all, if none is named.

    Raises:
        UsageError: no picture is from one of them.
    """
    present = {picture.source for picture in dataset.pictures}
    for source in sources:
        if source not in present:
            told = ", ".join(sorted(filter(None, present)))
            raise UsageError(f"no picture is from source {source!r}; the data set has: {told}")
    chosen = tuple(picture for picture in dataset.pictures if not sources or picture.source in sources)
    return replace(dataset, pictures=chosen)


def at_most(dataset: "Dataset", count: int) -> "Dataset":
    """`count` pictures, spread evenly; all, if there are no more."""
    return replace(dataset, pictures=spread(dataset.pictures, count))


def spread(things: Sequence[T], count: int) -> tuple[T, ...]:
    """`count` of them, spread evenly; all, if there are no more."""
    numbers = np.linspace(0, len(things) - 1, min(count, len(things))).round().astype(int)
    return tuple(things[number] for number in numbers)
