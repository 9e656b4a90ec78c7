"""What tracking costs per frame, and how well it holds on to objects on drawn streets, whose truth is known.

    python -m tests.bench.tracking [--seconds 40] [--every 1] [--objects 30]

Cost: CPU time of `Tracker.update` with so many objects that drift about, and of the events that they make.
Quality: the street's true boxes go through a made-up detector (jitter, misses, low scores of what is half hidden,
false alarms, vehicles taken for each other, NMS) and the tracker; then CLEAR MOT's MOTA, switches and fragments
(Bernardin and Stiefelhagen 2008) and IDF1 (Ristani et al. 2016), over what is at least 40 % visible.
"""

import argparse
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from consumers.events.engine import EventEngine
from consumers.tracking.assign import assign
from consumers.tracking.overlap import overlaps
from consumers.tracking.tracker import Tracker
from engines.detections import Detections
from engines.nms import suppress
from producers.street import Street
from producers.street.street import Truth
from streamer.records import BBox, DetectedObject, FrameId
from streamer.records.stream import Line, Zone

CLASSES = ("person", "car", "truck", "bus", "motorcycle")
LOW = 0.1
STREETS = ((1, 12), (2, 25), (3, 40))  # seeds, and how busy
SIZE = (1280, 720)
FPS = 25.0
SEEN, SAME = 0.4, 0.5  # visible share that counts, IoU that is found
Boxes = NDArray[np.float64]


@dataclass(slots=True)
class Quality:
    """Counts over frames. objects: true ones; identical: of them under the one track that is theirs overall."""

    objects: int = 0
    found: int = 0
    false: int = 0
    switches: int = 0
    fragments: int = 0
    identical: int = 0

    @property
    def mota(self) -> float:
        """1 less the share of misses, false boxes and switches."""
        return 1 - (self.objects - self.found + self.false + self.switches) / max(self.objects, 1)

    @property
    def idf1(self) -> float:
        """Share of boxes, true and found, that lie under the right identity."""
        return 2 * self.identical / max(self.objects + self.found + self.false, 1)

    def __add__(self, other: "Quality") -> "Quality":
        return Quality(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


class Judge:
    """Compares tracks with the truth, frame by frame."""

    def __init__(self) -> None:
        self.quality = Quality()
        self._track_of: dict[int, int] = {}
        self._seen_before: set[int] = set()
        self._together: Counter[tuple[int, int]] = Counter()

    def frame(self, truth: Sequence[Truth], boxes: Boxes, tracks: Sequence[int]) -> None:
        """boxes: (N, 4) corners, of the tracks. What is hardly visible neither counts nor makes a box false."""
        worth = overlaps(middles(np.array([t.box for t in truth], np.float64).reshape(-1, 4)), middles(boxes))
        # Who was together stays together, as CLEAR MOT has it.
        kept = np.array([[self._track_of.get(t.track) == track for track in tracks] for t in truth])
        worth = np.where(worth >= SAME, worth + 10 * kept.reshape(worth.shape), 0)
        pairs = list(zip(*(part.tolist() for part in assign(worth)), strict=True))
        hidden = {row for row, t in enumerate(truth) if t.visible < SEEN}
        q = self.quality
        q.objects += len(truth) - len(hidden)
        q.false += len(tracks) - len(pairs)
        matched = set()
        for row, column in pairs:
            if row in hidden:
                continue
            thing, track = truth[row].track, tracks[column]
            q.found += 1
            matched.add(thing)
            self._together[thing, track] += 1
            q.switches += self._track_of.get(thing, track) != track
            q.fragments += thing in self._track_of and thing not in self._seen_before
            self._track_of[thing] = track
        self._seen_before = matched

    def result(self) -> Quality:
        """All frames together."""
        things = {thing: row for row, thing in enumerate(dict.fromkeys(t for t, _ in self._together))}
        tracks = {track: column for column, track in enumerate(dict.fromkeys(t for _, t in self._together))}
        shared = np.zeros((len(things), len(tracks)))
        for (thing, track), count in self._together.items():
            shared[things[thing], tracks[track]] = count
        self.quality.identical = int(shared[assign(shared)].sum())
        return self.quality


class FakeDetector:
    """What a detector makes of the truth; the same seed, the same mistakes."""

    def __init__(self, seed: int, fps: float) -> None:
        self._random = np.random.default_rng(seed)
        self._fps = fps
        self._blind: dict[int, int] = {}

    def __call__(self, truth: Sequence[Truth]) -> Detections:
        """Boxes of one frame, the most confident first."""
        random = self._random
        rows = [row for thing in truth if (row := self._look(thing))]
        for _ in range(random.poisson(0.3)):
            (left, top), side = random.uniform((0, 200), (1200, 600)), random.uniform(20, 120)
            rows.append((left, top, left + side / 2, top + side, random.uniform(0.1, 0.6), 0))
        rows.sort(key=lambda row: -row[4])
        array = np.array(rows).reshape(-1, 6)
        found = Detections(
            array[:, :4].astype(np.float32), array[:, 4].astype(np.float32), array[:, 5].astype(np.int64)
        )
        return found[suppress(found, 0.6)]

    def _look(self, thing: Truth) -> tuple[float, ...] | None:
        random = self._random
        score = 0.85 - 0.8 * (1 - thing.visible) + 0.1 * random.standard_normal()
        if random.random() < 0.08 / self._fps:
            self._blind[thing.track] = int(random.uniform(0.2, 1.2) * self._fps)
        if self._blind.get(thing.track, 0) > 0:
            self._blind[thing.track] -= 1
            score -= random.uniform(0.3, 0.9)
        if score < 0.1 or random.random() < 0.04:
            return None
        left, top, right, bottom = thing.box
        sizes = np.array([right - left, bottom - top] * 2)
        corners = thing.box + sizes * random.standard_normal(4) * (0.03 + 0.08 * (1 - thing.visible))
        if corners[2] - corners[0] < 2 or corners[3] - corners[1] < 2:
            return None
        kind = CLASSES.index(thing.kind)
        if kind in (1, 2, 3) and random.random() < 0.15:
            kind = int(random.integers(1, 4))
        return (*corners.tolist(), min(score, 0.99), kind)


def middles(corners: Boxes) -> Boxes:
    """Middle x, y, width, height of corners."""
    return np.hstack(((corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]))


def judge(truths: Sequence[Sequence[Truth]], fps: float, seed: int = 0) -> Quality:
    """Quality over the frames of a street, `fps` of them per second."""
    tracker, detector, judge = Tracker(LOW, CLASSES), FakeDetector(seed, fps), Judge()
    for number, truth in enumerate(truths):
        found = detector(truth)
        tracks = [tracked for tracked in tracker.update(number / fps, found) if tracked.confirmed]
        shown = [tracked.detection for tracked in tracks]
        judge.frame(truth, found.boxes[shown].astype(np.float64), [tracked.id for tracked in tracks])
    return judge.result()


def drifting(objects: int, frames: int, fps: float = 25.0) -> list[Detections]:
    """So many objects that move evenly, with jitter and some low scores."""
    random = np.random.default_rng(0)
    place = random.uniform((0, 0), (1200, 600), (objects, 2))
    speed = random.uniform(-60, 60, (objects, 2)) / fps
    sizes = random.uniform((20, 40), (80, 160), (objects, 2))
    found = []
    for number in range(frames):
        corners = np.hstack((place + speed * number, place + speed * number + sizes))
        corners += random.standard_normal(corners.shape) * 2
        scores = random.uniform(0.2, 0.95, objects).astype(np.float32)
        found.append(Detections(corners.astype(np.float32), scores, np.zeros(objects, np.int64)))
    return found


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU ms per frame: half of the frames took at most `median`; `quiet`: a tenth of them, while nothing else ran."""

    median: float
    quiet: float

    @classmethod
    def of(cls, ns: Sequence[int]) -> "Cost":
        """From CPU times of single frames in ns, the first ones left out."""
        quiet, median = np.percentile(ns[50:], (10, 50)) / 1e6
        return cls(float(median), float(quiet))

    def __str__(self) -> str:
        return f"{self.median:.3f} ms CPU per frame, {self.quiet:.3f} in the quietest tenth of the frames"


def costs(objects: int, frames: int = 1000) -> tuple[Cost, Cost]:
    """Of the tracker, and of the events with two zones and two lines."""
    tracker, places = Tracker(LOW, CLASSES), ((100, 100), (700, 100), (700, 500), (100, 500))
    zones = [Zone(name=f"zone{number}", points=places) for number in range(2)]
    lines = [Line(name=f"line{number}", start=(0, 200), end=(1280, 400)) for number in range(2)]
    engine = EventEngine("main", "bench", zones, lines)
    tracking, events = [], []
    for number, found in enumerate(drifting(objects, frames)):
        began = time.thread_time_ns()
        tracked = tracker.update(number / 25, found)
        tracking.append(time.thread_time_ns() - began)
        boxes = found.boxes.tolist()
        seen = [DetectedObject(str(one.id), BBox(*boxes[one.detection]), "person", 0.9) for one in tracked]
        began = time.thread_time_ns()
        engine.update(FrameId(1, number), number * 40, number / 25, seen, map(str, tracker.ended()))
        events.append(time.thread_time_ns() - began)
    return Cost.of(tracking), Cost.of(events)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.tracking", description="Cost and quality of tracking.")
    parser.add_argument("--seconds", type=float, default=40, help="of each drawn street")
    parser.add_argument("--every", type=int, default=1, help="only every so manieth of 25 frames a second")
    parser.add_argument("--objects", type=int, default=30, help="for the cost")
    arguments = parser.parse_args()
    tracking, events = costs(arguments.objects)
    print(f"{arguments.objects} objects: tracks {tracking}; events {events}")
    whole = Quality()
    for seed, busy in STREETS:
        street = Street(SIZE, FPS, seed, busy)
        truths = [street.ground_truth(k) for k in range(0, int(arguments.seconds * FPS), arguments.every)]
        quality = judge(truths, FPS / arguments.every, seed)
        print(f"street {seed}, {busy} objects: {describe(quality)}")
        whole += quality
    print(f"all: {describe(whole)}")


def describe(quality: Quality) -> str:
    """In one line."""
    return (
        f"MOTA {quality.mota:.3f}, IDF1 {quality.idf1:.3f}, {quality.switches} switches, {quality.fragments} fragments"
        f", of {quality.objects} boxes {quality.objects - quality.found} missed, {quality.false} false"
    )


if __name__ == "__main__":
    main()
