"""Many streams for a long time, with faults now and then: does anything grow that must not? Writes build/soak.json.

    python -m tests.chaos.soak --minutes 60 [--seed 1] [--streams 16]

Replica 0 of workers and producers is frozen, but never killed: it lives through everything that happens around it, and
it is what is measured. Exit status 1: it grew, or the checker found something.
"""

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.chaos.inflict import inflict
from tests.chaos.plan import Fault, Victim
from tests.chaos.run import settle
from tests.chaos.scene import Scene
from tests.chaos.staging import scene
from tests.chaos.supervised import forget_settings

GROWTH = 0.05
SPARE = 2
"""Threads, sockets or files that may be there for a moment."""
_SAMPLE_S = 2.0
_PAUSE_S = (5.0, 20.0)
_WINDOWS = 5  # the first is for warming up; the last is set against the second


_WORST = [
    Fault("broker", "freeze", lasts_s=9, settled=True),
    Fault("redis", "kill", settled=True),
    Fault("producer", "freeze", lasts_s=9, settled=True),
    Fault("worker", "freeze", lasts_s=9, settled=True),
    Fault("broker", "freeze", lasts_s=9, settled=True),
]
"""Before anything is measured: what the longest outage takes for its backlog is kept, and is no growth."""


@dataclass(frozen=True)
class Sample:
    """What a process has. rss_mb: memory; files: open ones that are no sockets."""

    rss_mb: float
    threads: int
    sockets: int
    files: int

    @classmethod
    def of(cls, pid: int) -> "Sample":
        """Now."""
        process = psutil.Process(pid)
        with process.oneshot():
            sockets = len(process.net_connections("all"))
            return cls(process.memory_info().rss / 1e6, process.num_threads(), sockets, process.num_fds() - sockets)


def growth(samples: Sequence[Sample]) -> dict[str, dict[str, float]]:
    """Medians of the second and the last window, and by how much the last is larger, per thing that could grow."""
    size = max(len(samples) // _WINDOWS, 1)
    early, late = samples[size : 2 * size] or samples, samples[-size:]
    found = {}
    for name in asdict(samples[0]):
        before, after = (statistics.median(getattr(one, name) for one in window) for window in (early, late))
        found[name] = {"early": round(before, 1), "late": round(after, 1), "growth": round(after / before - 1, 4)}
    return found


def by_minute(samples: Sequence[Sample]) -> list[float]:
    """Medians of memory: whether it grows on or has levelled off."""
    step = round(60 / _SAMPLE_S)
    starts = range(0, len(samples), step)
    return [round(statistics.median(one.rss_mb for one in samples[start : start + step]), 1) for start in starts]


def is_flat(measured: dict[str, dict[str, float]], streams: int = 0) -> bool:
    """Whether nothing has grown. streams: so many more threads may be there, one for each that was taken over."""
    spare = {"rss_mb": 0.0, "threads": SPARE + streams}
    return all(
        one["late"] <= one["early"] * (1 + GROWTH) or one["late"] - one["early"] <= spare.get(name, SPARE)
        for name, one in measured.items()
    )


def soak(folder: Path, seed: int, minutes: float, streams: int) -> dict[str, Any]:
    """Returns the report."""
    chance, samples = random.Random(seed), {"worker-0": [], "producer-0": [], "broker": [], "redis": []}
    recoveries = []
    with scene(folder, streams) as stage:
        for fault in _WORST:
            inflict(stage, fault)
        deadline = time.monotonic() + minutes * 60
        while time.monotonic() < deadline:
            _watch(stage, samples, min(chance.uniform(*_PAUSE_S), deadline - time.monotonic()))
            recoveries.append(inflict(stage, _fault(chance)))
            memory = ", ".join(f"{name} {some[-1].rss_mb:.0f} MB" for name, some in samples.items())
            print(f"{recoveries[-1].at} {recoveries[-1].kind} {recoveries[-1].of}: {memory}", flush=True)
        verdict = settle(stage)
    measured = {name: growth(some) for name, some in samples.items()}
    # A producer has a thread per stream, and how they are shared out changes with each death.
    judged = {name: is_flat(measured[name], spare) for name, spare in (("worker-0", 0), ("producer-0", streams))}
    return {
        "seed": seed,
        "minutes": minutes,
        "streams": streams,
        "faults": len(recoveries),
        "flat": judged,
        "processes": measured,
        "rss_mb_by_minute": {name: by_minute(some) for name, some in samples.items()},
        **asdict(verdict),
        "ok": all(judged.values()) and verdict.is_clean,
    }


def _fault(chance: random.Random) -> Fault:
    """Of replicas, 0 is frozen and 1 killed or frozen; of servers, Redis is killed or frozen, the broker frozen."""
    victim: Victim = chance.choice(("worker", "worker", "producer", "redis", "broker"))
    choice = chance.randrange(2)
    kills = victim == "redis" or (victim != "broker" and choice == 1)
    if kills and chance.random() < 0.5:
        return Fault(victim, "kill", choice)
    return Fault(victim, "freeze", choice, lasts_s=chance.uniform(1, 9))


def _watch(stage: Scene, samples: dict[str, list[Sample]], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        stage.until(lambda: False, min(_SAMPLE_S, left))
        for name, taken in samples.items():
            taken.append(Sample.of(stage.processes[name].pid))


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.soak", description="does anything grow?")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--streams", type=int, default=16)
    parser.add_argument("--output", type=Path, default=Path("build/soak.json"))
    arguments = parser.parse_args()
    forget_settings()
    with tempfile.TemporaryDirectory() as folder:
        found = soak(Path(folder), arguments.seed, arguments.minutes, arguments.streams)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))
    return 0 if found["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
