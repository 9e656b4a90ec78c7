"""How far the build of an engine is. The builder calls from its threads, others look, and can end the build."""

import threading
import time
from collections.abc import Callable
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from typing import Generic, TypeVar

from streamer.errors import StreamerError

_LEAST_SHARE = 0.03  # before that, what is left can't be told from what is done
T = TypeVar("T")


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

    @property
    def begun(self) -> bool:
        """Whether anything has been built yet; else it may be that another process builds, or nobody must."""
        with self._lock:
            return self._share > 0 or bool(self._running)

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
        """See TensorRT's `IProgressMonitor`."""
        with self._lock:
            above = self._running.get(parent or "")
            weight = above.weight / above.steps if above else 1.0
            self._running[name] = _Phase(name, max(steps, 1), weight)

    def step_complete(self, name: str, step: int) -> bool:
        """See TensorRT's `IProgressMonitor`; False ends the build."""
        with self._lock:
            if phase := self._running.get(name):
                phase.done = min(step + 1, phase.steps)
                self._share = max(self._share, self._sum())
        return not self.stopped

    def phase_finish(self, name: str) -> None:
        """See TensorRT's `IProgressMonitor`."""
        with self._lock:
            self._running.pop(name, None)

    def _sum(self) -> float:
        """Phases run inside of each other, so the finished steps of each are added up. Never falls, never above 1."""
        return min(1.0, sum(phase.weight * phase.done / phase.steps for phase in self._running.values()))


# An engine is opened deep inside of a worker, whose own deadline may come before the build is done.
_told: ContextVar[Progress | None] = ContextVar("told", default=None)


def told() -> Progress:
    """What builds of this thread tell; one that nobody looks at, if none is named."""
    return _told.get() or Progress()


class Job(Generic[T]):
    """Work in a thread of its own, in the caller's context, whose builds tell `progress`.

    TensorRT lets no signal through to a thread that builds, so the one that gets them must not.
    """

    def __init__(self, work: Callable[[], T], progress: Progress, name: str) -> None:
        self._work, self._progress = work, progress
        self._answers: list[T] = []
        self._failures: list[BaseException] = []
        # One that can't be stopped in time ends with the process.
        self._thread = threading.Thread(target=copy_context().run, args=(self._do,), name=name, daemon=True)
        self._thread.start()

    def done(self, timeout_s: float | None = None) -> bool:
        """Whether it is, within so many seconds."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def answer(self) -> T:
        """What the work, which is done, has returned; or raises what it has raised."""
        if self._failures:
            raise self._failures[0]
        return self._answers[0]

    def _do(self) -> None:
        _told.set(self._progress)
        try:
            self._answers.append(self._work())
        except BaseException as error:  # raised again by `answer`, in the thread that asked
            self._failures.append(error)
