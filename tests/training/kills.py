"""Runs of the command line, one after the other, each in a process of its own that may be killed at a chosen point.

As a program: the runs as JSON in, their exit statuses out. What all of them import is imported once, and forked before
PyTorch has any threads.
"""

import fnmatch
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

Run = tuple[Sequence[str], tuple[str, int] | None]
"""A command's words, and when it is killed: just before a file of that name takes its name for the n-th time."""

KILLED = -int(signal.SIGKILL)


def statuses(runs: Sequence[Run]) -> list[int]:
    """Of all runs; KILLED where it came to that."""
    command = [sys.executable, "-m", "tests.training.kills", json.dumps(runs)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: list[int] = json.loads(done.stdout.splitlines()[-1])
    return found


def _main(runs: Sequence[Run]) -> list[int]:
    import matplotlib.figure  # noqa: F401
    import torch._dynamo  # noqa: F401

    import engines.training.classify.session
    import engines.training.session
    import engines.training.teacher

    engines.training.teacher._SAVE_S = 0.0
    return [_status(words, kill) for words, kill in runs]


def _status(words: Sequence[str], kill: tuple[str, int] | None) -> int:
    child = os.fork()
    if not child:
        _run(words, kill)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _run(words: Sequence[str], kill: tuple[str, int] | None) -> None:
    from streamer.__main__ import main

    if kill:
        os.replace = _deadly(*kill)
    status = 1
    try:
        status = main(list(words))
    finally:
        os._exit(status)


def _deadly(name: str, time: int) -> Any:
    replace, left = os.replace, time

    def replaced(source: Any, target: Any) -> None:
        nonlocal left
        left -= fnmatch.fnmatch(os.path.basename(target), name)
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        replace(source, target)

    return replaced


if __name__ == "__main__":
    print(json.dumps(_main(json.loads(sys.argv[1]))))
