"""Output files that are complete or not there at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from streamer.errors import UsageError


@contextmanager
def whole_file(path: str | Path) -> Iterator[TextIO]:
    """A text file that takes its name when it is complete; an error leaves what was there before.

    A device or pipe (/dev/stdout, /dev/null) is written to as it is.

    Raises:
        UsageError: it can't be written.
    """
    target = Path(path)
    part = target if target.exists() and not target.is_file() else target.with_name(target.name + ".part")
    try:
        file = part.open("w", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"can't write {target}: {error.strerror}") from None
    try:
        with file:
            yield file
        if part != target:
            os.replace(part, target)
    finally:
        if part != target:
            part.unlink(missing_ok=True)
