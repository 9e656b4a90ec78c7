"""Which classes may be the same thing.

A track keeps its class: a person never goes on as a car. But detectors take cars, trucks and buses for each other,
the more the smaller they are; with a strict class every such slip would end one track and begin another. So within a
declared group a track goes on, and is of the class that it was seen as with the highest score.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from consumers.tracking.tuning import GROUPS


class Kinds:
    """A model's class names and the groups among them; names of groups that the model lacks are left out."""

    def __init__(self, classes: Sequence[str]) -> None:
        self.names = tuple(classes)
        self._family = np.arange(len(self.names))
        for group in GROUPS:
            members = [number for number, name in enumerate(self.names) if name in group]
            if members:
                self._family[members] = members[0]

    def families(self, classes: NDArray[np.int64]) -> NDArray[np.int64]:
        """(N,) a number per class index that is the same for classes which may be the same thing."""
        found: NDArray[np.int64] = self._family[classes]
        return found
