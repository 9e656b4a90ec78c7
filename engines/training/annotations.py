"""What the formats of data sets give, before it is checked."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from engines.training.picture_file import PictureFile

MOST_CLASSES = 8192
"""Of a data set, as of a network whose checkpoint is read again."""

_SHOWN = 5  # lines of one kind; a folder with ten thousand empty label files is one sentence, not a screenful


@dataclass(frozen=True, slots=True)
class Mark:
    """An object as its file has it.

    number: of its class, from 0. box: left, top, right, bottom, as parts of the picture (0 to 1) or in pixels.
    score: 1.0 for a hand label, else a teacher's. where: what the reader of a message needs to find it.
    """

    number: int
    box: tuple[float, float, float, float]
    where: str
    score: float = 1.0
    crowd: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """A picture as its format has it.

    size: (width, height) that the boxes are for, in pixels; None: boxes are parts of the picture.
    """

    file: PictureFile
    name: str
    number: int
    marks: tuple[Mark, ...]
    size: tuple[int, int] | None = None
    source: str = ""


@dataclass(frozen=True, slots=True)
class Listing:
    """A split of a data set as its format has it.

    where: the file or folder that says so, for messages. labelled: see Dataset; few formats tell.
    """

    names: tuple[str, ...]
    entries: tuple[Entry, ...]
    where: Path
    labelled: Mapping[str, frozenset[int]] = field(default_factory=dict)


@dataclass(slots=True)
class Problems:
    """Gathers what is wrong, a few lines of each kind."""

    _lines: list[str] = field(default_factory=list)
    _kinds: Counter[str] = field(default_factory=Counter)

    def add(self, kind: str, line: str) -> None:
        """Notes `line`. kind: what many such lines have in common, in the plural: "empty label files"."""
        self._kinds[kind] += 1
        if self._kinds[kind] <= _SHOWN:
            self._lines.append(line.replace("\n", "\\n"))  # a file's name may hold any

    def lines(self) -> tuple[str, ...]:
        """One line each; of a kind that comes often, the first few and how many more there are."""
        more = {kind: count - _SHOWN for kind, count in self._kinds.items() if count > _SHOWN}
        return (*self._lines, *(f"{count} more: {kind}" for kind, count in more.items()))
