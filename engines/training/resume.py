"""Whether a training in an output folder is the one that is asked for, so that it goes on."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamer.errors import UsageError

if TYPE_CHECKING:
    from engines.training.checkpoint import Checkpoint
    from engines.training.classify.checkpoint import ClassifierCheckpoint

REPORT, PAGE = "report", "report.md"
"""The folder within the output folder, and what is written last of all."""

# How a training is run, not what it learns: they may change when it goes on.
_FREE = ("version", "command", "output", "pack", "device", "threads", "max_minutes", "validate_every", "run")
_TASK = "task"  # is in the format of the checkpoint


def told(arguments: argparse.Namespace) -> dict[str, str | int | float]:
    """What the result depends on, in plain types."""
    unimportant = (*_FREE, _TASK)
    chosen = {key: value for key, value in vars(arguments).items() if key not in unimportant}
    return {key: _plain(value) for key, value in chosen.items() if value not in (None, [])}


def check_same(folder: Path, training: Mapping[str, Any], wanted: Mapping[str, object], epochs: int) -> None:
    """Sees to it that the unfinished training in the folder is the one that is wanted.

    One whose epochs are done, but which was killed before its report was there, is unfinished.

    training: of its checkpoint. wanted: see `told`.

    Raises:
        UsageError: it is another one, or finished.
    """
    other = training.get("arguments", {})
    changed = sorted(key for key in {*wanted, *other} if wanted.get(key) != other.get(key))
    if changed:
        key = changed[0]
        raise UsageError(
            f"{folder} holds another training (--{key.replace('_', '-')} {other.get(key, 'not given')}); "
            "name another --output, or go on with the same arguments"
        )
    if training["epoch"] >= epochs and (folder / REPORT / PAGE).exists():
        raise UsageError(f"{folder} holds this training, finished; name another --output, or delete the folder")


def check_data(
    folder: Path, checkpoint: "Checkpoint | ClassifierCheckpoint", names: Sequence[str], pictures: int
) -> str:
    """Sees to it that the data are of the classes, in their order, that the training in the folder is of.

    names, pictures: of the data there are now. Returns a line if there are more or fewer pictures than there were, or
    "": what is learnt from them then isn't what it would have been, but nothing is wrong with it.

    Raises:
        UsageError: the classes are others.
    """
    if checkpoint.names != tuple(names):
        raise UsageError(
            f"{folder} holds a training of {_classes(checkpoint.names)}, the data have {_classes(names)}; "
            f"name another --output, with --init {folder / 'last.pt'} to keep what was learnt of those that stay"
        )
    before = (checkpoint.training or {}).get("pictures", pictures)
    return "" if before == pictures else f"{folder}: the training began on {before} pictures, now there are {pictures}"


def _classes(names: Sequence[str]) -> str:
    return f"{len(names)} classes ({', '.join(names):.200})"


def _plain(value: object) -> str | int | float:
    return value if isinstance(value, int | float | str) else _text(value)


def _text(value: object) -> str:
    return ",".join(map(_text, value)) if isinstance(value, list | tuple) else str(value)
