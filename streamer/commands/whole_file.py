"""Output files that are complete or not there at all, and disks that take no more."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from streamer.errors import StreamerError, UsageError

_OF_A_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)


@contextmanager
def whole_file(path: str | Path) -> Iterator[TextIO]:
    """A text file that takes its name when it is complete; an error leaves what was there before.

    A device or pipe (/dev/stdout, /dev/null) is written to as it is.

    Raises:
        UsageError: it can't be written.
        StreamerError: the disk takes no more.
    """
    target = Path(path)
    part = target if target.exists() and not target.is_file() else target.with_name(target.name + ".part")
    try:
        file = part.open("w", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"can't write {target}: {error.strerror}") from None
    try:
        with disk_errors(str(target)), file:
            yield file
        if part != target:
            os.replace(part, target)
    finally:
        if part != target:
            part.unlink(missing_ok=True)


@contextmanager
def disk_errors(name: str) -> Iterator[None]:
    """Around whatever writes to `name`. An error that has a file's name of its own is said of that.

    Raises:
        StreamerError: the disk is full or broken.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _OF_A_DISK:
            raise
        raise StreamerError(f"can't write {error.filename or name}: {error.strerror}") from None
