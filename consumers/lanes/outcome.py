"""What becomes of a frame that a lane has taken: a result, or why there is none."""

import logging
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from consumers.entry import Entry
from consumers.lanes.decode import DeadFrameError, check
from consumers.lanes.locate import detected_objects, too_small
from consumers.lanes.motion_gate import MotionGate, Verdict
from consumers.ledger import Ledger
from consumers.mirroring.preview import Preview
from streamer.moments import unix_ms
from streamer.records import DeadCause, Death, FrameHeader, GapReason, Result
from streamer.settings import DetectSettings

if TYPE_CHECKING:
    from engines.detections import Detections
    from engines.detector import Detector
    from engines.jpeg_detector import JpegDetector

log = logging.getLogger(__name__)


class Outcomes:
    """Belongs to a lane; tells the ledger. See Lane.

    left: frames that waited for one that has no result now; its lane is to do them.
    """

    def __init__(
        self,
        detector: "Detector | JpegDetector",
        settings: DetectSettings,
        ledger: Ledger,
        gate: MotionGate,
        preview: Preview | None = None,
    ) -> None:
        self._detector, self._settings, self._ledger, self._gate = detector, settings, ledger, gate
        self._preview = preview
        self._refused: set[str] = set()
        self.left: deque[Entry] = deque()
        self._engine = {
            "name": detector.engine.name,
            "version": detector.engine.version,
            "model": detector.model.path.name,
            "sha256": detector.model.sha256,
        }

    def admit(self, entry: Entry) -> FrameHeader | None:
        """Its header, if it is to be detected; else it has its outcome, or will when a frame like it has a result."""
        header = entry.header
        assert isinstance(header, FrameHeader)
        entry.stages["transport"] = float(entry.polled_ms - header.captured_ms)
        entry.stages["wait"] = float(unix_ms() - entry.polled_ms)
        if too_small(header, self._detector) and not self._settings.allow_upscale:
            self._refuse(entry, header)
            return None
        try:
            check(entry.jpeg, header, self._settings.max_picture_pixels)
        except DeadFrameError as error:
            self.dead(entry, error)
            return None
        verdict = self._verdict(entry, header)
        if verdict is Verdict.STILL:
            self._ledger.finish(entry, GapReason.UNCHANGED)
        return header if verdict is Verdict.LOOK else None

    def _verdict(self, entry: Entry, header: FrameHeader) -> Verdict:
        if entry.motion_gate_s is None:
            return Verdict.LOOK
        wanted = self._detector.wanted_size(header.width, header.height)
        try:
            return self._gate.judge(entry, header, wanted, entry.motion_gate_s)
        except ValueError:
            return Verdict.LOOK  # it is decoded for the network then, which says what is wrong

    def dead(self, entry: Entry, error: DeadFrameError) -> None:
        """It can't be decoded."""
        assert isinstance(entry.header, FrameHeader)
        log.warning("stream %s: frame %s is dead: %s", entry.header.stream, entry.header.id, error)
        self._ledger.finish(entry, GapReason.DEAD, str(error), Death(DeadCause.UNREADABLE, str(error)))
        self.left.extend(self._gate.settle(entry, has_result=False))

    def condemn(self, entry: Entry, reason: str) -> None:
        """It failed, alone, as often as it may."""
        assert isinstance(entry.header, FrameHeader)
        log.error("stream %s: frame %s is dead: %s", entry.header.stream, entry.header.id, reason)
        death = Death(DeadCause.FAILED, reason, self._settings.tries)
        self._ledger.finish(entry, GapReason.DEAD, reason, death)
        self.left.extend(self._gate.settle(entry, has_result=False))

    def found(self, entry: Entry, found: "Detections") -> None:
        """What is in it."""
        assert isinstance(entry.header, FrameHeader)
        result = self._result(entry, found)
        if self._preview is not None:
            self._preview.offer(entry, result)
        self._ledger.finish(entry, result)
        for like in self._gate.settle(entry, has_result=True):
            self._ledger.finish(like, GapReason.UNCHANGED)

    def _refuse(self, entry: Entry, header: FrameHeader) -> None:
        if header.stream not in self._refused:
            self._refused.add(header.stream)
            model = self._detector.model
            log.error(
                "stream %s: its pictures of %dx%d are smaller than the %dx%d that %s takes: set the stream's "
                "transport to network or full, or start with --allow-upscale",
                *(header.stream, header.width, header.height, model.width, model.height, model.path.name),
            )
        self._ledger.finish(entry, GapReason.REFUSED, f"pictures of {header.width}x{header.height} are too small")

    def _result(self, entry: Entry, found: "Detections") -> Result:
        header = entry.header
        assert isinstance(header, FrameHeader)
        objects = detected_objects(found, header, self._detector.model.classes)
        candidates = None
        if entry.track:
            # The most confident come first, but each class may have a threshold of its own.
            sure = self._detector.sure(found).tolist()
            candidates = tuple(replace(each, id="") for each, is_sure in zip(objects, sure, strict=True) if not is_sure)
            objects = tuple(replace(each, id="") for each, is_sure in zip(objects, sure, strict=True) if is_sure)
        return Result(
            self._settings.pipeline,
            header.stream,
            header.id,
            header.captured_ms,
            header.source_width,
            header.source_height,
            objects,
            header.source_time,
            header.index,
            header.pts,
            self._engine,
            {name: round(ms, 2) for name, ms in entry.stages.items()},
            header.traceparent,
            candidates,
        )
