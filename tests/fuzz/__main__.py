"""The long run: other examples each time, target after target, until the time is over.

    python -m tests.fuzz --minutes 10 [--seed 1] [--target headers]

Prints what each target was given and, at once, what it failed at; ends with status 1 if anything failed. What fails
is to be put into its target's `found`.
"""

import argparse
import sys
import time
import traceback
from collections import Counter
from random import SystemRandom
from types import TracebackType

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.fuzz.limits import Ear
from tests.fuzz.target import Target
from tests.fuzz.targets import ALL

_ROUND = 300  # examples


def main() -> int:
    """Runs; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="fuzzing for as long as there is time")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(2**31), help="default: another each time")
    parser.add_argument("--target", action="append", help="only this one; may be repeated")
    arguments = parser.parse_args()
    targets = [target for target in ALL if not arguments.target or target.name in arguments.target]
    if not targets:
        parser.error(f"no such target; there are: {', '.join(target.name for target in ALL)}")
    print(f"seed {arguments.seed}", flush=True)
    deadline, number = time.monotonic() + arguments.minutes * 60, arguments.seed
    given_to, failed = Counter[str](), Counter[str]()
    while time.monotonic() < deadline:
        for target in targets:
            if time.monotonic() > deadline:
                break
            given_to[target.name] += _ROUND
            failed[target.name] += not _round(target, number)
        number += 1
    for target in targets:
        print(f"{target.name}: {given_to[target.name]} examples, {failed[target.name]} rounds with failures")
    return 1 if failed.total() else 0


def _round(target: Target, number: int) -> bool:
    """Whether `target` stood `_ROUND` examples."""
    with Ear() as ear:

        @seed(number)
        @settings(
            max_examples=_ROUND,
            database=None,
            deadline=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
        )
        @given(target.given)
        def check(example: object) -> None:
            target.check(example, ear)

        try:
            check()
        except Exception as error:
            # The edge of a round: whatever it is, it is a finding.
            print(
                f"{target.name}, seed {number}: {type(error).__name__}: {str(error)[:500]}\n{_where(error)}", flush=True
            )
            return False
    return True


def _where(error: BaseException) -> str:
    """The failing example, and the innermost lines that it came to."""
    trace: TracebackType | None = error.__traceback__
    lines = [line.rstrip()[:1000] for line in traceback.format_tb(trace)[-4:]]
    return "\n".join([*(note[:2000] for note in getattr(error, "__notes__", ())), *lines])


if __name__ == "__main__":
    sys.exit(main())
