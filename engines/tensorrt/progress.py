"""How far a build is. TensorRT calls from its threads, others look; and whoever holds it can end the build."""

import threading
import time
from dataclasses import dataclass
from typing import Any

from streamer.errors import StreamerError

_LEAST_SHARE = 0.03  # before that, what is left can't be told from what is done


class BuildStopped(StreamerError):
    """Somebody has told the build to end."""

    def __init__(self) -> None:
        super().__init__("the build of the engine was stopped")


@dataclass(frozen=True, slots=True)
class State:
    """phase: what is done now, in TensorRT's words. share: of the work, 0 to 1. seconds: since the start."""

    phase: str
    share: float
    seconds: float
    seconds_left: float | None

    def __str__(self) -> str:
        left = "" if self.seconds_left is None else f", about {self.seconds_left:.0f} s left"
        return f"{self.share:.0%} after {self.seconds:.0f} s{left}: {self.phase}"


@dataclass(slots=True)
class _Phase:
    """One that runs. weight: its share of the whole build, if its parent's steps are all as long."""

    name: str
    steps: int
    weight: float
    done: int = 0


class Progress:
    """A build's. Safe to use from several threads; nothing in it raises, or TensorRT would end the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[str, _Phase] = {}
        self._stopped = threading.Event()
        self._since = time.monotonic()
        self._share = 0.0

    @property
    def stopped(self) -> bool:
        """Whether somebody has told it to."""
        return self._stopped.is_set()

    def stop(self) -> None:
        """Ends the build with its next step."""
        self._stopped.set()

    def state(self) -> State:
        """Where it is."""
        with self._lock:
            phase = next(reversed(self._running), "waiting")
            share = self._share
        seconds = time.monotonic() - self._since
        left = seconds * (1 - share) / share if share > _LEAST_SHARE else None
        return State(phase, share, seconds, left)

    def phase_start(self, name: str, parent: str | None, steps: int) -> None:
        """See `IProgressMonitor`."""
        with self._lock:
            above = self._running.get(parent or "")
            weight = above.weight / above.steps if above else 1.0
            self._running[name] = _Phase(name, max(steps, 1), weight)

    def step_complete(self, name: str, step: int) -> bool:
        """See `IProgressMonitor`; False ends the build."""
        with self._lock:
            if phase := self._running.get(name):
                phase.done = min(step + 1, phase.steps)
                self._share = max(self._share, self._sum())
        return not self.stopped

    def phase_finish(self, name: str) -> None:
        """See `IProgressMonitor`."""
        with self._lock:
            self._running.pop(name, None)

    def _sum(self) -> float:
        """Phases run inside of each other, so the finished steps of each are added up. Never falls, never above 1."""
        return min(1.0, sum(phase.weight * phase.done / phase.steps for phase in self._running.values()))


def monitor(trt: Any, progress: Progress) -> Any:
    """The `IProgressMonitor` that tells `progress`."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        """Its calls must not raise, so all that they do is counting."""

        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            progress.phase_start(phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            return progress.step_complete(phase_name, step)

        def phase_finish(self, phase_name: str) -> None:
            progress.phase_finish(phase_name)

    return Monitor()
