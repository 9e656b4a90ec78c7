"""Which faults come, in which order: everything follows from a seed."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

Victim = Literal["worker", "producer", "redis", "broker", "wire", "workers", "frames", "clock", "camera"]
How = Literal["kill", "freeze", "stall", "reset", "storm", "garbage", "jump", "resize"]
MIX: dict[Victim, int] = {"worker": 60, "producer": 15, "redis": 15, "broker": 10}
"""Of a hundred faults. Of each sort every second one freezes its victim, the others kill it."""
EVERYTHING: tuple[tuple[Victim, How], ...] = (
    ("worker", "kill"),
    ("worker", "freeze"),
    ("producer", "kill"),
    ("producer", "freeze"),
    ("redis", "kill"),
    ("redis", "freeze"),
    ("broker", "kill"),
    ("broker", "freeze"),
    ("wire", "stall"),
    ("wire", "reset"),
    ("workers", "storm"),
    ("frames", "garbage"),
    ("clock", "jump"),
    ("camera", "kill"),
    ("camera", "freeze"),
    ("camera", "resize"),
)
"""Of the mixed run, each once before one comes again."""

# A member that is frozen, or cut off, for less than kafka.session_timeout_ms (6 s) keeps its place, one for longer
# wakes up as a zombie. The servers have no such limit; a camera is given up after produce.stall_timeout_s (5 s).
_LASTS_S: dict[tuple[Victim, How], tuple[tuple[float, float], ...]] = {
    ("worker", "freeze"): ((1, 4), (8, 12)),
    ("producer", "freeze"): ((1, 4), (8, 12)),
    ("redis", "freeze"): ((1, 8),),
    ("broker", "freeze"): ((1, 5), (7, 12)),
    ("wire", "stall"): ((1, 4), (8, 12)),
    ("wire", "reset"): ((1, 4), (8, 12)),
    ("workers", "storm"): ((15, 25),),
    ("camera", "freeze"): ((1, 4), (6, 9)),
}


@dataclass(frozen=True)
class Fault:
    """One thing broken, and whole again after a while.

    choice: which of several replicas, a number to be divided by theirs. lasts_s: 0 if it is over at once, as kill -9.
    settled: whether it waits until all replicas have their share again; else it may come into a rebalance.
    pause_s: before the next fault, once this one is over.
    """

    victim: Victim
    how: How
    choice: int = 0
    lasts_s: float = 0.0
    settled: bool = False
    pause_s: float = 0.0

    @property
    def kind(self) -> str:
        """`worker kill`, `broker freeze`."""
        return f"{self.victim} {self.how}"


def faults(seed: int) -> Iterator[Fault]:
    """Without an end; every hundred of them is MIX in another order."""
    chance = random.Random(seed)
    while True:
        hundred = [fault for victim, count in MIX.items() for fault in _of(victim, count, chance)]
        chance.shuffle(hundred)
        yield from hundred


def mixed(seed: int, without: Sequence[Victim] = ()) -> Iterator[Fault]:
    """Without an end: all of EVERYTHING in ever another order. without: what this machine doesn't have."""
    chance, number = random.Random(seed), 0
    while True:
        # Of those that come short and long by turns, some are long at first.
        numbered = enumerate(EVERYTHING, number)
        each = [_fault(*kind, turn, chance) for turn, kind in numbered if kind[0] not in without]
        chance.shuffle(each)
        yield from each
        number += 1


def _of(victim: Victim, count: int, chance: random.Random) -> Iterator[Fault]:
    for number in range(count):
        # Kill, freeze, kill, freeze for long, kill, ...
        yield _fault(victim, "freeze" if number % 2 else "kill", number // 2, chance)


def _fault(victim: Victim, how: How, number: int, chance: random.Random) -> Fault:
    """number: of those of its kind."""
    ranges = _LASTS_S.get((victim, how), ())
    lasts_s = chance.uniform(*ranges[number % len(ranges)]) if ranges else 0.0
    return Fault(victim, how, chance.randrange(1 << 16), lasts_s, chance.random() < 0.5, chance.uniform(0.2, 2))
