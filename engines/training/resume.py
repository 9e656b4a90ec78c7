"""Whether a training in an output folder is the one that is asked for, so that it goes on."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from streamer.errors import UsageError

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
    if training["epoch"] >= epochs:
        raise UsageError(f"{folder} holds this training, finished; name another --output, or delete the folder")


def _plain(value: object) -> str | int | float:
    return value if isinstance(value, int | float | str) else _text(value)


def _text(value: object) -> str:
    return ",".join(map(_text, value)) if isinstance(value, list | tuple) else str(value)
