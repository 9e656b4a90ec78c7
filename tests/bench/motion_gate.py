"""What the motion gate saves on a clip, and whether objects are lost by it.

    python -m tests.bench.motion_gate CLIP MODEL [--fps 10] [--gate 1]

Each sampled frame travels as a JPEG at the network's size and is looked at; then the gate says which of them needn't
have been. In those the objects of the last look stand for what is there: an object that the detector is sure of counts
as kept if one of the same class overlaps it with an IoU above .5.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from consumers.entry import Entry
from consumers.lanes.decode import decode
from consumers.lanes.motion_gate import MotionGate, Verdict
from engines.detections import Detections
from engines.detector import Detector, open_detector
from producers.encoder import Encoder
from producers.sampling import Sampler
from producers.sources.registry import open_source
from producers.transform import NetworkInput
from streamer.records import FrameHeader, FrameId
from streamer.records.stream import StreamDefinition
from streamer.settings import DetectSettings, ProduceSettings
from tests.bench.jpeg_hop import overlaps

_SURE, _FOUND = 0.4, 0.3  # scores: what must be kept, and what may stand for it
_SAME = 0.5


@dataclass
class Outcome:
    """Counts over frames. objects: those that must be kept."""

    frames: int = 0
    still: int = 0
    objects: int = 0
    kept: int = 0


def travelled(clip: Path, fps: float, detector: Detector) -> Iterator[tuple[FrameHeader, bytes]]:
    """Frames of a clip as they reach a worker."""
    definition = StreamDefinition(id="clip", source=str(clip), fps=fps, transport="network")
    source, sampler = open_source(definition, ProduceSettings()), Sampler(fps, None)
    model = detector.model
    encoder = Encoder(definition, NetworkInput(model.width, model.height, model.padding == "stretch"))
    source.open()
    number = 0
    for picture in source.pictures():
        if picture.seconds is None or not sampler.wants(picture.seconds):
            continue
        made = encoder.encode(picture)
        sizes = (made.width, made.height, made.source_width, made.source_height)
        header = FrameHeader("clip", FrameId(1, number), 0, number, *sizes, made.matrix, source_time=picture.seconds)
        yield header, made.jpeg
        number += 1


def measure(clip: Path, fps: float, detector: Detector, gate_s: float) -> Outcome:
    """All frames of a clip."""
    gate, outcome, last = MotionGate(), Outcome(), Detections.none()
    for header, jpeg in travelled(clip, fps, detector):
        wanted = detector.wanted_size(header.width, header.height)
        found = detector.detect_pictures([decode(jpeg, header, wanted, detector.model.colour, 1 << 30)])[0]
        entry = Entry(0, header.id.sequence, None, header, jpeg, 0)
        still = gate.judge(entry, header, wanted, gate_s) is Verdict.STILL
        gate.settle(entry, has_result=True)
        last = last if still else found
        sure = found[found.scores >= _SURE]
        outcome.frames += 1
        outcome.still += still
        outcome.objects += len(sure)
        outcome.kept += _kept(sure, last)
    return outcome


def _kept(sure: Detections, shown: Detections) -> int:
    if not len(sure) or not len(shown):
        return 0
    same = sure.classes[:, None] == shown.classes[None]
    return int(((overlaps(sure.boxes, shown.boxes) > _SAME) & same).any(axis=1).sum())


def main() -> None:
    """Prints a line."""
    parser = argparse.ArgumentParser(description="inferences saved by the motion gate, and objects kept")
    parser.add_argument("clip", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--fps", type=float, default=10)
    parser.add_argument("--gate", type=float, default=1.0, metavar="SECONDS", help="longest time between looks")
    arguments = parser.parse_args()
    detector = open_detector(DetectSettings(model=str(arguments.model), confidence=_FOUND), 1)
    outcome = measure(arguments.clip, arguments.fps, detector, arguments.gate)
    kept = outcome.kept / max(outcome.objects, 1)
    saved = outcome.still / max(outcome.frames, 1)
    print(f"{arguments.clip.name}: {outcome.frames} frames, {saved:.0%} not looked at,", end=" ")
    print(f"{kept:.3f} of {outcome.objects} objects kept")


if __name__ == "__main__":
    main()
