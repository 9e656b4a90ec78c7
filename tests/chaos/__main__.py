"""Breaks the service at random and says what came of it: prints each fault, writes build/chaos.json.

    python -m tests.chaos --seed 1 [--minutes 30] [--faults 100]

Exit status 1: something was lost, doubled, out of order, wrong, different in Redis, or not back in time.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from tests.chaos.run import run
from tests.chaos.supervised import forget_settings


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description="kill -9 and SIGSTOP, and a verdict")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, help="no further fault after these")
    parser.add_argument("--faults", type=int, help="how many (default: 100, with --minutes as many as fit)")
    parser.add_argument("--output", type=Path, default=Path("build/chaos.json"))
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="for the processes' logs, else temporary")
    arguments = parser.parse_args()
    forget_settings()
    count = arguments.faults or (None if arguments.minutes else 100)
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        found = run(folder.absolute(), arguments.seed, count, arguments.minutes, lambda line: print(line, flush=True))
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({key: value for key, value in found.items() if key != "each"}, indent=1))
    return 0 if found["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
