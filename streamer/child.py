"""Runs a command as a child that never outlives its parent: `python -m streamer.child COMMAND...`.

Standard input is the lifeline: the parent holds its other end and writes nothing. The kernel closes it when the
parent is gone, however it went (kill -9 too).
"""

import os
import signal
import sys
import threading
import time

DRAIN_S = 15.0


def main() -> int:
    """The command's exit status."""
    threading.Thread(target=_leave_with_the_parent, name="lifeline", daemon=True).start()
    from streamer.__main__ import main as run_command

    return run_command(sys.argv[1:])


def _leave_with_the_parent() -> None:
    while os.read(sys.stdin.fileno(), 64):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(DRAIN_S)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
