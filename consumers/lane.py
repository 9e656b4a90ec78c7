"""One lane: takes frames, decodes them, detects, says what came out. Several lanes overlap the two.

While one lane is in the network, another decodes: both leave the interpreter's lock.
"""

import logging
import threading
import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from consumers import metrics
from consumers.choose import Chooser
from consumers.decode import DeadFrameError, decode
from consumers.entry import Entry
from consumers.outcome import Outcomes
from consumers.retrying import Retrying
from streamer.settings import DetectSettings

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from engines.detector import Detector
    from engines.letterbox import Placement

log = logging.getLogger(__name__)


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
        except Exception as error:
            # The edge of a thread: without this the worker would go on without its lanes.
            log.exception("the detector failed")
            self.failed = error

    def _work_on(self) -> None:
        raise NotImplementedError


class Lane(LaneThread):
    """Decodes on the CPU, and gives the detector pictures."""

    def __init__(
        self, number: int, detector: "Detector", settings: DetectSettings, chooser: Chooser, outcomes: Outcomes
    ) -> None:
        super().__init__(number)
        self._detector, self._settings, self._chooser = detector, settings, chooser
        self._outcomes = outcomes
        self._in_slot: dict[int, Placement] = {}
        self._batch_frames = metrics.BATCH.labels(settings.pipeline)
        self._network_cpu = metrics.NETWORK_CPU.labels(settings.pipeline)

    def _work_on(self) -> None:
        most = self._settings.batch or self._detector.engine.input.batch
        batch = self._detector.new_batch(most)
        work = partial(self._work, batch=batch)
        retrying = Retrying(self._settings, work, self._check, self._outcomes.condemn, self._stop_event)
        while not self._stop_event.is_set():
            self._turn()
            entries = self._chooser.take(most, timeout_s=0.2, fill_s=self._settings.batch_wait_ms / 1000)
            if entries:
                retrying.work(entries)

    def _check(self) -> None:
        """Raises what the detector raises at a picture in which nothing is."""
        import numpy as np

        model = self._detector.model
        self._detector.detect_pictures([np.zeros((model.height, model.width, 3), np.uint8)])

    def _work(self, entries: Sequence[Entry], batch: "npt.NDArray[np.float32]") -> None:
        self._turn()
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
            self._outcomes.found(entry, detections)

    def _prepare(self, entry: Entry, batch: "npt.NDArray[np.float32]", slot: int) -> "Placement | None":
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
        placement = self._detector.prepare(picture, size, batch[slot], previous=self._in_slot.get(slot))
        self._in_slot[slot] = placement
        entry.stages["decode"] = (time.perf_counter() - began) * 1000
        return placement
