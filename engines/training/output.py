"""The folder that a training writes to."""

from pathlib import Path

from streamer.errors import UsageError


def make_output(folder: Path) -> None:
    """Makes the folder, unless it is there.

    Raises:
        UsageError: it can't be made, or is something else.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--output {folder}: can't be a folder: {error.strerror}; name another one") from None
