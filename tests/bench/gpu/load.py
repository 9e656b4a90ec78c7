"""Open-loop load: cameras that don't wait. From when a frame is due to when its boxes are on the host.

Each stream has its own phase and 30 frames/s, whatever the detector does; a frame waits until a detector takes it.
"""

import heapq
import itertools
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from engines.jpeg_detector import Frame
from engines.tensorrt.detector import GpuDetector
from tests.bench.gpu.material import Material, precision
from tests.bench.gpu.throughput import stages
from tests.on_gpu import detect_jpegs

RATE, LIMIT_MS, WANTED = 30.0, 100.0, 200
_FILL_S = 0.004  # how long a batch waits to be full
_TRIED_S = 8.0
_STEPS = (25, 50, 100, 150, 200, 300, 400, 600, 800)
_LONG_TRIES, _STAGES_S, _LATE_S, _FRAMES = 4, 3.0, 0.02, 200


@dataclass
class Run:
    """latencies: seconds, in the order of completion. waiting: frames that were due and not taken, sampled."""

    latencies: list[float] = field(default_factory=list)
    waiting: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    late_s: float = 0.0

    @property
    def p95_ms(self) -> float:
        """Of the latencies."""
        return float(np.percentile(self.latencies, 95)) * 1000 if self.latencies else float("inf")

    @property
    def grows(self) -> bool:
        """Whether the queue got longer: its last quarter against its second."""
        quarter = len(self.waiting) // 4
        if not quarter:
            return False
        early, late = np.mean(self.waiting[quarter : 2 * quarter]), np.mean(self.waiting[-quarter:])
        return bool(late > 2 * early + 10)

    @property
    def holds(self) -> bool:
        """Fast enough, and for ever."""
        return self.p95_ms < LIMIT_MS and not self.grows

    def figures(self) -> dict[str, float]:
        """For people."""
        percentiles = np.percentile(self.latencies, [50, 95, 99, 100]) * 1000 if self.latencies else [np.nan] * 4
        names = ("p50_ms", "p95_ms", "p99_ms", "max_ms")
        return {
            **{name: round(float(value), 1) for name, value in zip(names, percentiles, strict=True)},
            "frames": len(self.latencies),
            "mean_batch": round(float(np.mean(self.sizes)), 1) if self.sizes else 0,
            "waiting_most": max(self.waiting, default=0),
            "source_late_ms": round(self.late_s * 1000, 1),
        }


class Cameras(threading.Thread):
    """Puts frames into the queue when they are due."""

    def __init__(self, frames: Sequence[Frame], streams: int, seconds: float) -> None:
        super().__init__(daemon=True)
        self.due: deque[tuple[float, Frame]] = deque()
        self.late_s = 0.0
        self._frames, self._streams, self._seconds = frames, streams, seconds
        self.ended = threading.Event()

    def run(self) -> None:
        """For so many seconds."""
        chance, start = random.Random(1), time.perf_counter()
        phases = [(start + chance.random() / RATE, chance.randrange(len(self._frames))) for _ in range(self._streams)]
        heapq.heapify(phases)
        while phases[0][0] < start + self._seconds:
            due, number = phases[0]
            now = time.perf_counter()
            if due > now:
                time.sleep(min(due - now, 0.002))
                continue
            self.late_s = max(self.late_s, now - due)
            self.due.append((due, self._frames[number]))
            heapq.heapreplace(phases, (due + 1 / RATE, (number + 1) % len(self._frames)))
        self.ended.set()


def run(detectors: Sequence[GpuDetector], frames: Sequence[Frame], streams: int, seconds: float) -> Run:
    """So many streams for so long."""
    cameras, result = Cameras(frames, streams, seconds), Run()
    workers = [threading.Thread(target=_drain, args=(detector, cameras, result)) for detector in detectors]
    for thread in (cameras, *workers):
        thread.start()
    while any(worker.is_alive() for worker in workers):
        result.waiting.append(len(cameras.due))
        time.sleep(0.05)
    result.late_s = cameras.late_s
    return result


def _drain(detector: GpuDetector, cameras: Cameras, result: Run) -> None:
    under_way: deque[list[float]] = deque()
    while not (cameras.ended.is_set() and not cameras.due and not under_way):
        taken = _take(cameras, detector.batch, wait=not under_way)
        if taken:
            detector.start([frame for _, frame in taken])
            under_way.append([due for due, _ in taken])
            result.sizes.append(len(taken))
        if under_way and (len(under_way) == detector.depth or not taken):
            detector.finish()
            done = time.perf_counter()
            result.latencies.extend(done - due for due in under_way.popleft())


def _take(cameras: Cameras, most: int, wait: bool) -> list[tuple[float, Frame]]:
    """Up to a batch. wait: until it is full, for a while; else what there is."""
    until = time.perf_counter() + (_FILL_S if wait else 0)
    taken: list[tuple[float, Frame]] = []
    while len(taken) < most:
        try:
            taken.append(cameras.due.popleft())
        except IndexError:
            if time.perf_counter() >= until:
                break
            time.sleep(0.0005)
    return taken


class Tries:
    """Runs, and what they gave. figures: of each. late_s: of the cameras of the last one."""

    def __init__(self, detectors: Sequence[GpuDetector], frames: Sequence[Frame]) -> None:
        self._detectors, self._frames = detectors, frames
        self.figures: dict[str, Any] = {}
        self.late_s = 0.0

    def holds(self, streams: int, seconds: float) -> bool:
        """Whether so many do for so long."""
        found = run(self._detectors, self._frames, streams, seconds)
        self.figures[f"{streams} streams, {seconds:.0f} s"] = found.figures()
        self.late_s = found.late_s
        return found.holds


def load(material: Material, seconds: float = 60, threads: int = 4, kind: str = "fp16") -> dict[str, Any]:
    """The wanted streams for the whole time; if they don't hold, the most that do, and what limits them."""
    with precision(kind):
        detectors = [material.gpu_detector() for _ in range(threads)]
    for detector in detectors:
        detect_jpegs(detector, list(itertools.islice(itertools.cycle(material.frames), 4 * material.batch)))
    tries = Tries(detectors, material.frames)
    briefly = largest(lambda streams: tries.holds(streams, min(_TRIED_S, seconds)))
    most = lasting(min(briefly, WANTED), lambda streams: tries.holds(streams, seconds))
    alone = stages(detectors, material, min(_STAGES_S, seconds))
    for detector in detectors:
        detector.close()
    figures = tries.figures | {f"{stage} alone, frames/s": round(rate) for stage, rate in alone.items()}
    different = len({frame.jpeg for frame in material.frames})
    figures |= {"most_streams": most, "most_streams_briefly": briefly, "different_frames": different}
    figures |= {"threads": threads, "precision": kind, "batch": material.batch}
    if most < WANTED:
        figures["limited_by"] = limiting(alone, most * RATE, tries.late_s)
    holds = {
        f"{WANTED} streams: p95 under {LIMIT_MS:.0f} ms, no growing queue": most == WANTED,
        f"at least {_FRAMES} different frames": different >= _FRAMES,
    }
    return {"figures": figures, "holds": holds}


def largest(holds: Callable[[int], bool]) -> int:
    """The most streams that hold, to a tenth: in steps up to the first number that doesn't, then between the two."""
    good, bad = 0, 0
    for bad in _STEPS:
        if not holds(bad):
            break
        good = bad
    while bad - good > max(good // 10, 1):
        middle = (good + bad) // 2
        good, bad = (middle, bad) if holds(middle) else (good, middle)
    return good


def lasting(streams: int, holds: Callable[[int], bool]) -> int:
    """So many, or a number that is smaller by a fifth, again and again, that holds; 0 if a few don't: it takes time."""
    for _ in range(_LONG_TRIES):
        if streams and holds(streams):
            return streams
        streams = streams * 4 // 5
    return 0


def limiting(alone: dict[str, float], reached: float, late_s: float) -> str:
    """What more streams would need more of. alone: frames/s of each stage. late_s: of the cameras."""
    if late_s > _LATE_S:
        return "this machine: its cameras were late themselves"
    slowest = min(alone, key=lambda stage: alone[stage])
    if reached < alone[slowest] / 2:
        return f"what is between the stages: {slowest}, the slowest one, does twice as many frames alone"
    return slowest
