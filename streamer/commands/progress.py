"""A count that moves, on stderr, if that is a terminal; the last one stays."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

EVERY_S = 0.2


@contextmanager
def counting(what: str) -> Iterator[Callable[[], None]]:
    """Yields what to call for each one done."""
    done, shown = 0, time.monotonic()

    def one_more() -> None:
        nonlocal done, shown
        done += 1
        if sys.stderr.isatty() and time.monotonic() - shown > EVERY_S:
            shown = time.monotonic()
            print(f"\r{done} {what}", end="", file=sys.stderr, flush=True)

    yield one_more
    print(f"{chr(13) if sys.stderr.isatty() else ''}{done} {what}", file=sys.stderr)
