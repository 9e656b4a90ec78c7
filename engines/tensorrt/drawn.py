"""Pictures to compare engines with where nobody names any: drawn streets, the same each time."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from streamer.errors import StreamerError

_PICTURES, _SIDE = 24, 640


@contextmanager
def drawn_streets() -> Iterator[Path]:
    """A folder of JPEGs, for as long as it is wanted.

    Raises:
        StreamerError: they can't be drawn.
    """
    with TemporaryDirectory(prefix="streamer-street-") as folder:
        # The command does it: engines don't know the package that draws.
        counts = ["--pictures", "0", "--val", str(_PICTURES), "--side", str(_SIDE)]
        command = [sys.executable, "-m", "streamer", "street", folder, *counts]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise StreamerError(f"no streets could be drawn; name pictures: {done.stderr.strip()[-200:]}")
        yield Path(folder, "images", "val")
