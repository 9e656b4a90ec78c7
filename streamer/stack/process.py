"""Starting a server that does not outlive whoever starts it."""

import ctypes
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

CONSOLE = "console.log"
_PR_SET_PDEATHSIG = 1


def launch(command: list[str], folder: Path, keep_open: tuple[int, ...] = ()) -> subprocess.Popen[bytes]:
    """Starts `command` in `folder`; what it prints goes into console.log there.

    On Linux it is killed when the calling thread ends, be it by kill -9: call from a thread that stays.

    keep_open: file descriptors that it inherits.
    """
    with (folder / CONSOLE).open("wb") as console:
        return subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=subprocess.STDOUT,
            pass_fds=keep_open,
            preexec_fn=partial(_die_with, os.getpid()) if sys.platform == "linux" else None,
        )


def stop(server: subprocess.Popen[bytes], timeout_s: float) -> None:
    """Asks it to end and waits; kills it if it takes longer."""
    server.terminate()
    try:
        server.wait(timeout_s)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _die_with(parent: int) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)  # it died before that was arranged
