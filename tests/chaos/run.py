"""The mixed run: fault after fault, each recovery measured, and at the end the checker's verdict."""

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from tests.chaos.plan import Fault, faults
from tests.chaos.scene import Scene, scene
from tests.chaos.supervised import Supervised, listens
from tests.chaos.verdict import Verdict

RECOVERED_S = 30.0
STARTED_S = 90.0
SETTLED_S = 15.0
CAUGHT_UP_S = 90.0
PROMISED_S = 10.0
UPSET_S = 15.0
"""For so long after it woke up a producer may not know yet what became of its streams."""
_PROMISED = ("worker kill", "broker kill", "broker freeze")

Say = Callable[[str], None]


@dataclass(frozen=True)
class Recovery:
    """How long after a fault every stream had a new result, in seconds; None: not within RECOVERED_S.

    at: when the fault was, HH:MM:SS. of: which process. away_s: how long a server was away; of a broker's and Redis's
    faults committed_s and mirrored_s count from when it answered again. idle: of a replica that had nothing to do, so
    that nothing had to recover. load: processes that wanted to run on this machine then, the mean of a minute.
    """

    at: str
    kind: str
    of: str
    away_s: float
    committed_s: float | None
    mirrored_s: float | None
    idle: bool = False
    load: float = 0.0


def run(folder: Path, seed: int, count: int | None, minutes: float | None, say: Say) -> dict[str, Any]:
    """Breaks things until `count` faults or `minutes` are over; returns the report.

    Raises:
        TimeoutError: the service does not even begin.
    """
    recoveries: list[Recovery] = []
    with scene(folder) as stage:
        say("running")
        deadline = time.monotonic() + minutes * 60 if minutes else float("inf")
        for fault in islice(faults(seed), count):
            if time.monotonic() > deadline:
                break
            recoveries.append(inflict(stage, fault))
            say(_line(len(recoveries), recoveries[-1]))
            stage.until(lambda: False, fault.pause_s)
        verdict = settle(stage)
        ended = {name: process.ended for name, process in stage.processes.items() if process.ended}
        ended |= {process.name: process.ended for process in stage.retired if process.ended}
    return report(seed, recoveries, verdict, ended)


def inflict(stage: Scene, fault: Fault) -> Recovery:
    """Breaks one process, and waits until every stream has new results, or RECOVERED_S."""
    if fault.settled:
        stage.until(Occasional(stage.are_settled), SETTLED_S)
    replicas = stage.of(fault.victim)
    victim = replicas[fault.choice % len(replicas)]
    idle = len(replicas) > 1 and not stage.shares(fault.victim).get(victim.name)
    # Whole milliseconds later: timestamps of frames have no more.
    for arrivals in (stage.committed, stage.mirrored):
        arrivals.expect(time.time() * 1000 + 1)
    began, at = time.monotonic(), time.strftime("%H:%M:%S")
    runs_again = _break(stage, fault, victim)
    since = runs_again if fault.victim in stage.ports else began
    if fault.victim == "broker" or (fault.victim == "producer" and fault.frozen_s is not None):
        now_ms = time.time() * 1000
        stage.upsets.append((now_ms - (runs_again - began) * 1000, now_ms + UPSET_S * 1000))
    deadline = max(since + RECOVERED_S, time.monotonic() + 1)
    stage.until(lambda: _complete(stage), deadline - time.monotonic())
    times = [arrivals.complete_at for arrivals in (stage.committed, stage.mirrored)]
    committed_s, mirrored_s = (None if moment is None else round(max(moment - since, 0), 2) for moment in times)
    away_s, load = round(since - began, 2), round(os.getloadavg()[0], 1)
    return Recovery(at, fault.kind, victim.name, away_s, committed_s, mirrored_s, idle, load)


class Occasional:
    """A condition that costs something: looked at twice a second."""

    def __init__(self, condition: Callable[[], bool]) -> None:
        self._condition, self._next = condition, 0.0

    def __call__(self) -> bool:
        """The condition, if it is looked at now; else False."""
        if time.monotonic() < self._next:
            return False
        self._next = time.monotonic() + 0.5
        return self._condition()


def _break(stage: Scene, fault: Fault, victim: Supervised) -> float:
    """Returns when the victim runs again; one that listens: when it answers."""
    if fault.frozen_s is None:
        victim.kill()
        port = stage.ports.get(fault.victim)
        if port is not None:
            stage.until(lambda: listens(port), STARTED_S)
    else:
        victim.freeze()
        stage.until(lambda: False, fault.frozen_s)
        victim.wake()
    return time.monotonic()


def _complete(stage: Scene) -> bool:
    return stage.committed.complete_at is not None and stage.mirrored.complete_at is not None


def settle(stage: Scene) -> Verdict:
    """No more frames: waits until all that there are have been dealt with, or CAUGHT_UP_S."""
    stage.retire("producer")
    deadline = time.monotonic() + CAUGHT_UP_S
    while True:
        stage.until(Occasional(stage.journal.has_read_all), CAUGHT_UP_S)
        verdict = stage.judge()
        if verdict.is_clean or time.monotonic() > deadline:
            break
        stage.until(lambda: False, 1)
    stage.retire("worker")
    return stage.judge()


def report(seed: int, recoveries: list[Recovery], verdict: Verdict, ended: dict[str, list[int]]) -> dict[str, Any]:
    """What is written to build/chaos.json."""
    by_kind: dict[str, list[Recovery]] = {}
    for recovery in recoveries:
        by_kind.setdefault(recovery.kind, []).append(recovery)
    found = {
        "seed": seed,
        "faults": {kind: len(some) for kind, some in sorted(by_kind.items())},
        **{key: value for key, value in asdict(verdict).items() if key != "findings"},
        "recovery_s": {kind: _summary(some) for kind, some in sorted(by_kind.items())},
        "not_recovered": sum(r.committed_s is None or r.mirrored_s is None for r in recoveries),
        "late": [asdict(r) for r in recoveries if r.kind in _PROMISED and _worst(r) > PROMISED_S],
        "ended_by_themselves": ended,
        "findings": verdict.findings,
        "each": [asdict(recovery) for recovery in recoveries],
    }
    found["ok"] = verdict.is_clean and not found["not_recovered"] and not found["late"]
    return found


def _worst(recovery: Recovery) -> float:
    times = (recovery.committed_s, recovery.mirrored_s)
    return max(float("inf") if seconds is None else seconds for seconds in times)


def _summary(recoveries: Iterable[Recovery]) -> dict[str, float]:
    """Of the later of both, reader and Redis."""
    ordered = sorted(_worst(recovery) for recovery in recoveries if not recovery.idle)
    if not ordered:
        return {}
    at = {name: ordered[min(len(ordered) * rank // 100, len(ordered) - 1)] for name, rank in (("p50", 50), ("p95", 95))}
    return at | {"worst": ordered[-1], "measured": len(ordered)}


def _line(number: int, recovery: Recovery) -> str:
    times = (f"{name} {seconds}" for name, seconds in (("Kafka", recovery.committed_s), ("Redis", recovery.mirrored_s)))
    away = f", away {recovery.away_s} s" if recovery.away_s else ""
    away += ", had no share" if recovery.idle else ""
    away += f", load {recovery.load}"
    return f"{recovery.at} {number:3} {recovery.kind:<15} {recovery.of:<11} {', '.join(times)} s{away}"
