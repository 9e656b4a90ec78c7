"""One lane: takes frames, decodes them, detects, says what came out. Several lanes overlap the two.

While one lane is in the network, another decodes: both leave the interpreter's lock.
"""

import logging
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from consumers.choose import Chooser
from consumers.entry import Entry
from consumers.lanes.decode import DeadFrameError, decode
from consumers.lanes.outcome import Outcomes
from consumers.poison.retrying import Retrying
from consumers.telemetry import metrics
from streamer.errors import StreamerError
from streamer.settings import DetectSettings

if TYPE_CHECKING:
    import numpy.typing as npt

    from engines.detections import Detections
    from engines.detector import Detector
    from engines.letterbox import Placement

log = logging.getLogger(__name__)

# The network leaves nothing of ours in the processor's caches. So frames that nobody waits for are prepared some at a
# time, which takes a tenth off what a frame costs beside the network; for no longer than a camera's frame may wait,
# should one come.
_TOGETHER = 4
_TOGETHER_S = 0.1


class LaneThread(threading.Thread):
    """A thread with a detector of its own, until it is stopped.

    failed: set to the error that ended it, if one did; the worker then leaves the group, so that its frames
    go elsewhere.
    """

    def __init__(self, number: int) -> None:
        super().__init__(name=f"lane-{number}", daemon=True)
        self._stop_event = threading.Event()
        self._turn_at = time.monotonic()
        self.failed: BaseException | None = None

    def check(self, limit_s: float) -> None:
        """Calls it failed if the detector has not come back for `limit_s`: nobody can end a thread that hangs."""
        if self.failed is None and self.is_alive() and time.monotonic() - self._turn_at > limit_s:
            self.failed = TimeoutError(f"the detector has not come back for {limit_s:g} s")

    def _turn(self) -> None:
        """To be called before whatever may hang."""
        self._turn_at = time.monotonic()

    def stop(self) -> None:
        """After the frames in hand."""
        self._stop_event.set()

    def run(self) -> None:
        """Until stopped."""
        try:
            self._work_on()
        except StreamerError as error:
            log.error("the detector failed: %s", error)
            self.failed = error
        except Exception as error:
            # The edge of a thread: without this the worker would go on without its lanes.
            log.exception("the detector failed")
            self.failed = error

    def _work_on(self) -> None:
        raise NotImplementedError


class Lane(LaneThread):
    """Decodes on the CPU, and gives the detector pictures.

    most: frames per inference.
    """

    def __init__(
        self, number: int, detector: "Detector", settings: DetectSettings, chooser: Chooser, outcomes: Outcomes
    ) -> None:
        super().__init__(number)
        self._detector, self._settings, self._chooser = detector, settings, chooser
        self._outcomes = outcomes
        self.most = settings.batch or detector.engine.input.batch
        self._batch = detector.new_batch(self.most)
        self._in_slot: dict[int, Placement] = {}
        self._took_s = _TOGETHER_S
        self._batch_frames = metrics.BATCH.labels(settings.pipeline)
        self._network_cpu = metrics.NETWORK_CPU.labels(settings.pipeline)

    def _work_on(self) -> None:
        retrying = Retrying(self._settings, self._work, self._check, self._outcomes.condemn, self._stop_event)
        fill_s = self._settings.batch_wait_ms / 1000
        while not self._stop_event.is_set():
            self._turn()
            runs = min(max(int(_TOGETHER_S / max(self._took_s, 1e-6)), 1), _TOGETHER)
            entries = self._chooser.take(self.most, timeout_s=0.2, fill_s=fill_s, patient=runs * self.most)
            if entries:
                retrying.work(entries)
                retrying.work_off(self._outcomes.left)

    def _check(self) -> None:
        """Raises what the detector raises at a picture in which nothing is."""
        import numpy as np

        model = self._detector.model
        self._detector.detect_pictures([np.zeros((model.height, model.width, 3), np.uint8)])

    def _work(self, entries: Sequence[Entry]) -> None:
        self._turn()
        if len(entries) > len(self._batch):
            self._batch = self._detector.new_batch(_TOGETHER * self.most)
            self._in_slot.clear()
        ready: list[Entry] = []
        placements: list[Placement] = []
        for entry in entries:
            placement = self._prepare(entry, len(ready))
            if placement is not None:
                ready.append(entry)
                placements.append(placement)
        found: list[Detections] = []
        for start in range(0, len(ready), self.most):
            run = slice(start, start + self.most)
            found += self._detect(ready[run], placements[run], self._batch[run])
        for entry, detections in zip(ready, found, strict=True):
            self._outcomes.found(entry, detections)

    def _detect(
        self, entries: Sequence[Entry], placements: "Sequence[Placement]", batch: "npt.NDArray[Any]"
    ) -> "list[Detections]":
        self._turn()
        self._batch_frames.observe(len(entries))
        began = time.perf_counter()
        found = self._detector.detect(batch[: len(entries)], placements, [entry.track for entry in entries])
        self._took_s = time.perf_counter() - began
        self._network_cpu.inc(self._detector.times.network_cpu)
        for entry in entries:
            entry.stages["detect"] = self._took_s * 1000
        return found

    def _prepare(self, entry: Entry, slot: int) -> "Placement | None":
        began = time.perf_counter()
        header = self._outcomes.admit(entry)
        if header is None:
            return None
        wanted = self._detector.wanted_size(header.width, header.height)
        try:
            picture = decode(entry.jpeg, header, wanted, self._detector.model.colour)
        except DeadFrameError as error:
            self._outcomes.dead(entry, error)
            return None
        size = (header.width, header.height)
        # With what the slot held before, a border that stays the same isn't written again.
        placement = self._detector.prepare(picture, size, self._batch[slot], previous=self._in_slot.get(slot))
        self._in_slot[slot] = placement
        entry.stages["decode"] = (time.perf_counter() - began) * 1000
        return placement
