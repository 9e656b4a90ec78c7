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
from concurrent import futures
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from engines.jpeg_detector import Frame
from engines.tensorrt.detector import GpuDetector
from tests.bench.gpu.material import BY_GPU, Material, Note, precision
from tests.bench.gpu.throughput import stages
from tests.on_gpu import Decoded, detect_jpegs, total

RATE, LIMIT_MS, WANTED = 30.0, 100.0, 200
_FILL_S = 0.004  # how long a batch waits to be full
_TRIED_S = 8.0
_STEPS = (25, 50, 100, 150)
_LONG_TRIES, _STAGES_S, _LATE_S, _FRAMES = 4, 3.0, 0.02, 200
_HOPELESS_S = 3.0  # a frame that has waited for so long: no use in going on


@dataclass
class Run:
    """latencies: seconds, in the order of completion of each detector. waiting: frames that were due and not taken,
    sampled. due: frames that there were. broken_off: no further frames came, as those that there were waited too long.
    """

    latencies: list[float] = field(default_factory=list)
    waiting: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    late_s: float = 0.0
    due: int = 0
    broken_off: bool = False
    decoded: Decoded = field(default_factory=Decoded)

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
        """Fast enough, for ever, and every frame that was due has its boxes."""
        whole = len(self.latencies) == self.due and not self.decoded.damaged and not self.broken_off
        return whole and self.p95_ms < LIMIT_MS and not self.grows

    def figures(self) -> dict[str, float]:
        """For people."""
        percentiles = np.percentile(self.latencies, [50, 95, 99, 100]) * 1000 if self.latencies else [np.nan] * 4
        names = ("p50_ms", "p95_ms", "p99_ms", "max_ms")
        return {
            **{name: round(float(value), 1) for name, value in zip(names, percentiles, strict=True)},
            "due": self.due,
            "frames": len(self.latencies),
            "decoded_by_cpu": self.decoded.by_cpu,
            "damaged": self.decoded.damaged,
            "broken_off": self.broken_off,
            "mean_batch": round(float(np.mean(self.sizes)), 1) if self.sizes else 0,
            "waiting_most": max(self.waiting, default=0),
            "source_late_ms": round(self.late_s * 1000, 1),
        }


class Cameras:
    """Puts frames into the queue `due`, (when, which), as they are due. put: how many so far."""

    def __init__(self, frames: Sequence[Frame], streams: int, seconds: float) -> None:
        self.due: deque[tuple[float, Frame]] = deque()
        self.late_s, self.put = 0.0, 0
        self._frames, self._streams, self._seconds = frames, streams, seconds
        self.ended, self._stopped = threading.Event(), threading.Event()

    def run(self) -> None:
        """For so many seconds."""
        try:
            self._run()
        finally:
            # Not before the last frame is in the queue: who finds it ended and empty goes home.
            self.ended.set()

    def stop(self) -> None:
        """No more frames, and none of those that wait."""
        self._stopped.set()
        self.due.clear()

    def waited_s(self) -> float:
        """The oldest frame in the queue."""
        try:
            return time.perf_counter() - self.due[0][0]
        except IndexError:
            return 0.0

    def _run(self) -> None:
        chance, start = random.Random(1), time.perf_counter()
        phases = [(start + chance.random() / RATE, chance.randrange(len(self._frames))) for _ in range(self._streams)]
        heapq.heapify(phases)
        while phases[0][0] < start + self._seconds and not self._stopped.is_set():
            due, number = phases[0]
            now = time.perf_counter()
            if due > now:
                time.sleep(min(due - now, 0.002))
                continue
            self.late_s = max(self.late_s, now - due)
            self.put += 1
            self.due.append((due, self._frames[number]))
            heapq.heapreplace(phases, (due + 1 / RATE, (number + 1) % len(self._frames)))


def run(detectors: Sequence[GpuDetector], frames: Sequence[Frame], streams: int, seconds: float) -> Run:
    """So many streams for so long. Raises what a thread of it raised."""
    cameras, result = Cameras(frames, streams, seconds), Run()
    with futures.ThreadPoolExecutor(len(detectors) + 1) as pool:
        working = [pool.submit(_drain, detector, cameras) for detector in detectors]
        filming = pool.submit(cameras.run)
        try:
            result.broken_off = _watch([*working, filming], cameras, result.waiting)
        finally:
            cameras.stop()
    filming.result()
    drained = [each.result() for each in working]
    result.late_s, result.due = cameras.late_s, cameras.put
    result.latencies = [one for each in drained for one in each.latencies]
    result.sizes = [one for each in drained for one in each.sizes]
    result.decoded = total(each.decoded for each in drained)
    return result


def _watch(working: Sequence[futures.Future[Any]], cameras: Cameras, waiting: list[int]) -> bool:
    """Until all is done, or one has failed. True if it was hopeless, and the cameras were stopped."""
    while futures.wait(working, 0.05, futures.FIRST_EXCEPTION).not_done:
        if any(each.done() and each.exception() for each in working):
            return False
        waiting.append(len(cameras.due))
        if cameras.waited_s() > _HOPELESS_S:
            cameras.stop()
            futures.wait(working)
            return True
    return False


@dataclass
class Drained:
    """What one detector did."""

    latencies: list[float] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    decoded: Decoded = field(default_factory=Decoded)


def _drain(detector: GpuDetector, cameras: Cameras) -> Drained:
    under_way: deque[list[float]] = deque()
    result = Drained()
    while not (cameras.ended.is_set() and not cameras.due and not under_way):
        taken = _take(cameras, detector.batch, wait=not under_way)
        if taken:
            detector.start([frame for _, frame in taken])
            under_way.append([due for due, _ in taken])
            result.sizes.append(len(taken))
        if under_way and (len(under_way) == detector.depth or not taken):
            result.decoded.finish(detector)
            done = time.perf_counter()
            result.latencies.extend(done - due for due in under_way.popleft())
    return result


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
    """Runs, and what they gave. figures: of each, noted after each. late_s: of the cameras of the last one."""

    def __init__(self, detectors: Sequence[GpuDetector], frames: Sequence[Frame], note: Note) -> None:
        self._detectors, self._frames, self._note = detectors, frames, note
        self.figures: dict[str, Any] = {}
        self.late_s, self.by_gpu = 0.0, True

    def holds(self, streams: int, seconds: float) -> bool:
        """Whether so many do for so long."""
        found = run(self._detectors, self._frames, streams, seconds)
        self.figures[f"{streams} streams, {seconds:.0f} s"] = {**found.figures(), "holds": found.holds}
        self._note(self.figures)
        self.late_s = found.late_s
        self.by_gpu &= found.decoded.by_gpu
        return found.holds

    def most(self, seconds: float) -> int:
        """The wanted streams, first of all; else the most that do for the whole time, after brief tries."""
        if self.holds(WANTED, seconds):
            return WANTED
        briefly = largest(lambda streams: self.holds(streams, min(_TRIED_S, seconds)))
        return lasting(briefly, lambda streams: self.holds(streams, seconds))


def load(
    material: Material, seconds: float = 60, threads: int = 4, kind: str = "fp16", note: Note = lambda figures: None
) -> dict[str, Any]:
    """The wanted streams for the whole time; if they don't hold, the most that do, and what limits them."""
    with precision(kind):
        detectors = [material.gpu_detector() for _ in range(threads)]
    for detector in detectors:
        detect_jpegs(detector, list(itertools.islice(itertools.cycle(material.frames), 4 * material.batch)))
    tries = Tries(detectors, material.frames, note)
    most = tries.most(seconds)
    figures = tries.figures
    different = len({frame.jpeg for frame in material.frames})
    figures |= {"most_streams": most, "different_frames": different}
    figures |= {"threads": threads, "precision": kind, "batch": material.batch}
    note(figures)
    alone = stages(detectors, material, min(_STAGES_S, seconds))
    for detector in detectors:
        detector.close()
    figures |= {f"{stage} alone, frames/s": round(rate) for stage, rate in alone.items()}
    if most < WANTED:
        figures["limited_by"] = limiting(alone, most * RATE, tries.late_s)
    holds = {
        f"{WANTED} streams: p95 under {LIMIT_MS:.0f} ms, no growing queue": most == WANTED,
        f"at least {_FRAMES} different frames": different >= _FRAMES,
        BY_GPU: tries.by_gpu,
    }
    return {"figures": figures, "holds": holds}


def largest(holds: Callable[[int], bool]) -> int:
    """The most streams that hold, to a tenth, fewer than WANTED, which don't: in steps up to the first that doesn't,
    then between the two."""
    good, bad = 0, WANTED
    for step in _STEPS:
        if not holds(step):
            bad = step
            break
        good = step
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
