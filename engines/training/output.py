"""The folder that a training writes to."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streamer.errors import UsageError

_LOCK = ".lock"


@contextmanager
def held_output(folder: Path) -> Iterator[None]:
    """Makes the folder, unless it is there, and keeps other trainings out of it.

    Raises:
        UsageError: it can't be made or written to, is something else, or another training is at work there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / _LOCK).open("w")  # stays there: who removed it would open the door to two at once
    except OSError as error:
        raise UsageError(f"--output {folder}: can't be written to: {error.strerror}; name another folder") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"{folder}: another training is at work there; wait, or name another --output") from None
        except OSError:
            pass  # a file system that has no locks, as some clusters' have none: better without than not at all
        yield
