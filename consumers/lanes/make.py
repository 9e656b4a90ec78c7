"""Which lanes a worker has: as many as its engine is worth, of the kind that it can feed."""

import os
from typing import TYPE_CHECKING

from consumers.choose import Chooser
from consumers.lanes.jpeg_lane import JpegLane
from consumers.lanes.lane import Lane, LaneThread
from consumers.lanes.motion_gate import MotionGate
from consumers.lanes.outcome import Outcomes
from consumers.ledger import Ledger
from consumers.mirroring.preview import Preview
from streamer.settings import DetectSettings

if TYPE_CHECKING:
    from engines.detector import Detector
    from engines.jpeg_detector import JpegDetector

    AnyDetector = Detector | JpegDetector

_JPEG_LANES = 2  # each keeps some batches under way, so the GPU is busy; more only compete for the interpreter's lock


def open_detectors(settings: DetectSettings) -> "list[AnyDetector]":
    """One per lane.

    Raises:
        StreamerError: the model or the engine can't be opened.
    """
    from engines.detector import Detector

    first = _open(settings)
    cores = len(os.sched_getaffinity(0)) // (settings.session_threads * settings.share_cores)
    count = settings.sessions or (max(1, cores) if isinstance(first, Detector) else _JPEG_LANES)
    return [first, *(_open(settings) for _ in range(count - 1))]


def _open(settings: DetectSettings) -> "AnyDetector":
    from engines.detector import open_detector
    from engines.jpeg_detector import JpegEngine

    detector = open_detector(settings, settings.session_threads)
    engine = detector.engine
    return (engine.jpeg_detector(detector) if isinstance(engine, JpegEngine) else None) or detector


def make_lane(
    number: int,
    detector: "AnyDetector",
    settings: DetectSettings,
    chooser: Chooser,
    ledger: Ledger,
    gate: MotionGate,
    preview: Preview | None = None,
) -> LaneThread:
    """Not started yet."""
    from engines.detector import Detector

    outcomes = Outcomes(detector, settings, ledger, gate, preview)
    if isinstance(detector, Detector):
        lane = Lane(number, detector, settings, chooser, outcomes)
        chooser.serve(lane.most)
        return lane
    # So that the next batch is there when a lane looks for it, and the largest one can be.
    chooser.serve(detector.best, max(2 * detector.best, detector.batch))
    return JpegLane(number, detector, settings, chooser, outcomes)
