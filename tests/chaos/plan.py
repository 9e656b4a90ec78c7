"""Which faults come, in which order: everything follows from a seed."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Victim = Literal["worker", "producer", "redis", "broker"]
MIX: dict[Victim, int] = {"worker": 60, "producer": 15, "redis": 15, "broker": 10}
"""Of a hundred faults. Of each sort every second one freezes its victim, the others kill it."""

# A member that is frozen for less than kafka.session_timeout_ms (6 s) keeps its place, one for longer wakes up as a
# zombie. The servers have no such limit.
_FREEZE_S: dict[Victim, tuple[tuple[float, float], ...]] = {
    "worker": ((1, 4), (8, 12)),
    "producer": ((1, 4), (8, 12)),
    "redis": ((1, 8),),
    "broker": ((1, 5), (7, 12)),
}


@dataclass(frozen=True)
class Fault:
    """One process killed, or frozen and woken up again.

    choice: which of several replicas, a number to be divided by theirs. frozen_s: None: kill -9.
    settled: whether it waits until all replicas have their share again; else it may come into a rebalance.
    pause_s: before the next fault, once this one is over.
    """

    victim: Victim
    choice: int
    frozen_s: float | None
    settled: bool
    pause_s: float

    @property
    def kind(self) -> str:
        """`worker kill`, `broker freeze`."""
        return f"{self.victim} {'kill' if self.frozen_s is None else 'freeze'}"


def faults(seed: int) -> Iterator[Fault]:
    """Without an end; every hundred of them is MIX in another order."""
    chance = random.Random(seed)
    while True:
        hundred = [fault for victim, count in MIX.items() for fault in _of(victim, count, chance)]
        chance.shuffle(hundred)
        yield from hundred


def _of(victim: Victim, count: int, chance: random.Random) -> Iterator[Fault]:
    ranges = _FREEZE_S[victim]
    for number in range(count):
        # Kill, freeze, kill, freeze for long, kill, ...
        frozen_s = chance.uniform(*ranges[number // 2 % len(ranges)]) if number % 2 else None
        yield Fault(victim, chance.randrange(1 << 16), frozen_s, chance.random() < 0.5, chance.uniform(0.2, 2))
