"""The run: fault after fault, each recovery measured, and at the end the checker's verdict."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Any

from tests.chaos.inflict import Occasional, Recovery, inflict
from tests.chaos.plan import Fault
from tests.chaos.scene import Scene
from tests.chaos.verdict import Verdict

CAUGHT_UP_S = 90.0
PROMISED_S = 10.0
_PROMISED = ("worker kill", "broker kill", "broker freeze")

Say = Callable[[str], None]
Ends = Mapping[str, list[int]]
"""Exit statuses by process."""


def run(stage: Scene, seed: int, planned: Iterable[Fault], minutes: float | None, say: Say) -> dict[str, Any]:
    """Breaks things until there are no more faults or `minutes` are over; returns the report.

    seed: that the faults were made of.
    """
    recoveries: list[Recovery] = []
    say("running")
    deadline = time.monotonic() + minutes * 60 if minutes else float("inf")
    for fault in planned:
        if time.monotonic() > deadline:
            break
        recoveries.append(inflict(stage, fault))
        say(_line(len(recoveries), recoveries[-1]))
        stage.until(lambda: False, fault.pause_s)
    verdict = settle(stage)
    return report(seed, recoveries, verdict, *stage.ended())


def settle(stage: Scene) -> Verdict:
    """No more frames: waits until all that there are have been dealt with, or CAUGHT_UP_S."""
    stage.ask()
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


def report(
    seed: int, recoveries: list[Recovery], verdict: Verdict, ended: Ends, ended_in_outages: Ends
) -> dict[str, Any]:
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
        "ended_in_outages": ended_in_outages,
        "findings": verdict.findings,
        "each": [asdict(recovery) for recovery in recoveries],
    }
    found["ok"] = verdict.is_clean and not found["not_recovered"] and not found["late"] and not ended
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
