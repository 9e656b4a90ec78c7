"""Breaks the service at random and says what came of it: prints each fault, writes build/chaos.json.

    python -m tests.chaos --seed 1 --faults 100     kills and freezes
    python -m tests.chaos --seed 1 --minutes 30     everything that can be broken

Exit status 1: something was lost, doubled, out of order, wrong, different in Redis, or not back in time, or a process
ended by itself.
"""

import argparse
import json
import sys
import tempfile
from itertools import islice
from pathlib import Path
from typing import Any

from tests.chaos.plan import faults, mixed
from tests.chaos.run import run
from tests.chaos.staging import CAMERA, scene
from tests.chaos.supervised import forget_settings


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description="breaks the service, and judges it")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, help="no further fault after these; everything is broken")
    parser.add_argument("--faults", type=int, help="how many processes are killed and frozen (default: 100)")
    parser.add_argument("--output", type=Path, default=Path("build/chaos.json"))
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="for the processes' logs, else temporary")
    arguments = parser.parse_args()
    forget_settings()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        found = _run(folder.absolute(), arguments.seed, arguments.faults, arguments.minutes)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({key: value for key, value in found.items() if key != "each"}, indent=1))
    return 0 if found["ok"] else 1


def _run(folder: Path, seed: int, count: int | None, minutes: float | None) -> dict[str, Any]:
    everything = minutes is not None and count is None
    with scene(folder, everything=everything) as stage:
        if everything:
            planned = mixed(seed, without=[] if CAMERA in stage.ports else [CAMERA])
        else:
            planned = islice(faults(seed), count or 100)
        return run(stage, seed, planned, minutes, lambda line: print(line, flush=True))


if __name__ == "__main__":
    sys.exit(main())
