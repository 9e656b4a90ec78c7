"""One lane: takes frames, decodes them, detects, says what came out. Several lanes overlap the two.

While one lane is in the network, another decodes: both leave the interpreter's lock.
"""

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from consumers import metrics
from consumers.choose import Chooser
from consumers.decode import DeadFrameError, check, decode
from consumers.entry import Entry
from consumers.ledger import Ledger
from consumers.locate import detected_objects, too_small
from consumers.motion_gate import MotionGate
from consumers.retrying import Retrying
from streamer.records import DeadCause, Death, FrameHeader, GapReason, Result
from streamer.settings import DetectSettings

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from engines.detections import Detections
    from engines.detector import Detector
    from engines.letterbox import Placement

log = logging.getLogger(__name__)


class Lane(threading.Thread):
    """A thread with a detector of its own; it stops when the chooser is closed.

    failed: set to the error that ended it, if one did; the worker then leaves the group, so that its frames
    go elsewhere.
    """

    def __init__(
        self,
        number: int,
        detector: "Detector",
        settings: DetectSettings,
        chooser: Chooser,
        ledger: Ledger,
        gate: MotionGate,
    ) -> None:
        super().__init__(name=f"lane-{number}", daemon=True)
        self._gate = gate
        self._detector, self._settings, self._chooser, self._ledger = detector, settings, chooser, ledger
        self._stop_event = threading.Event()
        self._refused: set[str] = set()
        self._in_slot: dict[int, Placement] = {}
        self._engine = {
            "name": detector.engine.name,
            "version": detector.engine.version,
            "model": detector.model.path.name,
            "sha256": detector.model.sha256,
        }
        self._stages = {
            name: metrics.STAGE.labels(settings.pipeline, name) for name in ("transport", "wait", "decode", "detect")
        }
        self._batch_frames = metrics.BATCH.labels(settings.pipeline)
        self._network_cpu = metrics.NETWORK_CPU.labels(settings.pipeline)
        self.failed: BaseException | None = None

    def stop(self) -> None:
        """After the frames in hand."""
        self._stop_event.set()

    def run(self) -> None:
        """Until stopped."""
        try:
            most = self._settings.batch or self._detector.engine.input.batch
            batch = self._detector.new_batch(most)
            retrying = Retrying(
                *(self._settings, partial(self._work, batch=batch), self._check, self._condemn, self._stop_event)
            )
            while not self._stop_event.is_set():
                entries = self._chooser.take(most, timeout_s=0.2, fill_s=self._settings.batch_wait_ms / 1000)
                if entries:
                    retrying.work(entries)
        except Exception as error:
            # The edge of a thread: without this the worker would go on without its lanes.
            log.exception("the detector failed")
            self.failed = error

    def _check(self) -> None:
        """Raises what the detector raises at a picture in which nothing is."""
        import numpy as np

        model = self._detector.model
        self._detector.detect_pictures([np.zeros((model.height, model.width, 3), np.uint8)])

    def _condemn(self, entry: Entry, reason: str) -> None:
        assert entry.header is not None
        log.error("stream %s: frame %s is dead: %s", entry.header.stream, entry.header.id, reason)
        death = Death(DeadCause.FAILED, reason, self._settings.tries)
        self._ledger.finish(entry, GapReason.DEAD, reason, death)

    def _work(self, entries: Sequence[Entry], batch: "npt.NDArray[np.float32]") -> None:
        ready: list[Entry] = []
        placements: list[Placement] = []
        for entry in entries:
            placement = self._prepare(entry, batch, len(ready))
            if placement is not None:
                ready.append(entry)
                placements.append(placement)
        if not ready:
            return
        self._batch_frames.observe(len(ready))
        began = time.perf_counter()
        found = self._detector.detect(batch[: len(ready)], placements, [entry.track for entry in ready])
        took_ms = (time.perf_counter() - began) * 1000
        self._network_cpu.inc(self._detector.times.network_cpu)
        for entry, detections in zip(ready, found, strict=True):
            entry.stages["detect"] = took_ms
            self._ledger.finish(entry, self._result(entry, detections))

    def _prepare(self, entry: Entry, batch: "npt.NDArray[np.float32]", slot: int) -> "Placement | None":
        header = entry.header
        assert isinstance(header, FrameHeader)
        entry.stages["transport"] = float(entry.polled_ms - header.captured_ms)
        entry.stages["wait"] = float(time.time_ns() // 1_000_000 - entry.polled_ms)
        wanted = self._detector.wanted_size(header.width, header.height)
        if too_small(header, self._detector) and not self._settings.allow_upscale:
            self._refuse(entry, header)
            return None
        began = time.perf_counter()
        try:
            if self._is_still(entry, header, wanted):
                self._ledger.finish(entry, GapReason.UNCHANGED)
                return None
            picture = decode(entry.jpeg, header, wanted, self._detector.model.colour, self._settings.max_picture_pixels)
        except DeadFrameError as error:
            log.warning("stream %s: frame %s is dead: %s", header.stream, header.id, error)
            self._ledger.finish(entry, GapReason.DEAD, str(error), Death(DeadCause.UNREADABLE, str(error)))
            return None
        size = (header.width, header.height)
        # With what the slot held before, a border that stays the same isn't written again.
        placement = self._detector.prepare(picture, size, batch[slot], previous=self._in_slot.get(slot))
        self._in_slot[slot] = placement
        entry.stages["decode"] = (time.perf_counter() - began) * 1000
        return placement

    def _is_still(self, entry: Entry, header: FrameHeader, wanted: tuple[int, int]) -> bool:
        if entry.motion_gate_s is None:
            return False
        check(entry.jpeg, header, self._settings.max_picture_pixels)
        try:
            return self._gate.is_still(header, entry.jpeg, wanted, entry.motion_gate_s)
        except ValueError:
            return False  # it is decoded for the network then, which says what is wrong

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
        for name, ms in entry.stages.items():
            self._stages[name].observe(max(ms, 0) / 1000)
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
