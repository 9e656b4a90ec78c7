"""One fault, and how long it took until all was well again."""

import os
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from itertools import count

from streamer.moments import unix_ms
from tests.chaos.camera import CHANGE
from tests.chaos.plan import Fault
from tests.chaos.scene import Scene
from tests.chaos.staging import CLOCKS, HAND
from tests.chaos.strange import put_by_a_jumping_clock, put_pictures, put_strangers
from tests.chaos.supervised import Supervised, listens
from tests.integration.worker_rig import Rig

RECOVERED_S = 30.0
STARTED_S = 90.0
SETTLED_S = 15.0
UPSET_S = 15.0
"""For so long after it woke up a producer may not know yet what became of its streams."""
_GIVES_UP_S = 20.0  # who was started while a server was away: kafka.connect_timeout_s and what it takes to get there
_JOINS_S = 6.0


@dataclass(frozen=True)
class Recovery:
    """How long after a fault every stream had a new result, in seconds; None: not within RECOVERED_S.

    at: when the fault was, HH:MM:SS. of: which process or stream. away_s: how long a server was away, or the fault
    took; of faults of servers, of many workers and of what was put on `frames` committed_s and mirrored_s count from
    its end. idle: of a replica that had nothing to do, so that nothing had to recover. load: processes that wanted to
    run on this machine then, the mean of a minute.
    """

    at: str
    kind: str
    of: str
    away_s: float
    committed_s: float | None
    mirrored_s: float | None
    idle: bool = False
    load: float = 0.0


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


def inflict(stage: Scene, fault: Fault) -> Recovery:
    """Breaks one thing, and waits until every stream has new results, or RECOVERED_S."""
    if fault.settled:
        stage.until(Occasional(stage.are_settled), SETTLED_S)
    replicas = stage.of(fault.victim)
    victim = replicas[fault.choice % len(replicas)] if replicas else None
    name = victim.name if victim else _OF[fault.victim]
    idle = len(replicas) > 1 and not stage.shares(fault.victim).get(name)
    _expect(stage)
    began, at = time.monotonic(), time.strftime("%H:%M:%S")
    _WAYS[fault.how](stage, fault, victim)
    over = time.monotonic()
    _remember(stage, fault, began, over)
    since = over if fault.victim in (*stage.ports, "workers", "frames", "clock") else began
    deadline = max(since + RECOVERED_S, time.monotonic() + 1)
    stage.until(lambda: _complete(stage), deadline - time.monotonic())
    times = [arrivals.complete_at for arrivals in (stage.committed, stage.mirrored)]
    committed_s, mirrored_s = (None if moment is None else round(max(moment - since, 0), 2) for moment in times)
    stage.ask()
    away_s, load = round(since - began, 2), round(os.getloadavg()[0], 1)
    return Recovery(at, fault.kind, name, away_s, committed_s, mirrored_s, idle, load)


def _expect(stage: Scene) -> None:
    # Whole milliseconds later: timestamps of frames have no more.
    for arrivals in (stage.committed, stage.mirrored):
        arrivals.expect(unix_ms() + 1)


def _complete(stage: Scene) -> bool:
    return stage.committed.complete_at is not None and stage.mirrored.complete_at is not None


def _remember(stage: Scene, fault: Fault, began: float, over: float) -> None:
    """What the fault excuses."""
    if fault.victim in ("broker", "redis", "wire"):
        stage.outages.append((began, over + _GIVES_UP_S))
    if fault.victim == "broker" or fault.kind == "producer freeze":
        now_ms = unix_ms()
        stage.upsets.append((now_ms - (over - began) * 1000, now_ms + UPSET_S * 1000))


def _kill(stage: Scene, fault: Fault, victim: Supervised | None) -> None:
    """A server is waited for."""
    assert victim is not None
    victim.kill()
    port = stage.ports.get(fault.victim)
    if port is not None:
        stage.until(lambda: listens(port), STARTED_S)


def _freeze(stage: Scene, fault: Fault, victim: Supervised | None) -> None:
    assert victim is not None
    victim.freeze()
    stage.until(lambda: False, fault.lasts_s)
    victim.wake()


def _cut(stage: Scene, fault: Fault, _: Supervised | None) -> None:
    assert stage.proxy is not None
    if fault.how == "stall":
        stage.proxy.cut()
    else:
        stage.proxy.reset()
    stage.until(lambda: False, fault.lasts_s)
    stage.proxy.mend()


def _storm(stage: Scene, fault: Fault, _: Supervised | None) -> None:
    """Workers that come, and as soon as they have a share are killed, or told to stop, by turns."""
    deadline = time.monotonic() + fault.lasts_s
    for number in count():
        if time.monotonic() > deadline:
            break
        guest = stage.guests[number % len(stage.guests)]
        guest.start()
        stage.until(Occasional(lambda name=guest.name: name in stage.shares("worker")), _JOINS_S)
        if number % 2:
            guest.retire()
        else:
            guest.kill()
    _expect(stage)


def _garbage(stage: Scene, _: Fault, __: Supervised | None) -> None:
    with closing(Rig(stage.settings)) as rig:
        put_strangers(rig, *stage.streams[:2])
        put_pictures(rig, HAND, epoch=unix_ms())


def _jump(stage: Scene, _: Fault, __: Supervised | None) -> None:
    with closing(Rig(stage.settings)) as rig:
        put_by_a_jumping_clock(rig, *CLOCKS, epoch=unix_ms())


def _resize(_: Scene, __: Fault, victim: Supervised | None) -> None:
    assert victim is not None
    victim.signal(CHANGE)


_OF = {"wire": "worker-0", "workers": "guests", "frames": HAND, "clock": "clock-*"}
_WAYS: dict[str, Callable[[Scene, Fault, Supervised | None], None]] = {
    "kill": _kill,
    "freeze": _freeze,
    "stall": _cut,
    "reset": _cut,
    "storm": _storm,
    "garbage": _garbage,
    "jump": _jump,
    "resize": _resize,
}
