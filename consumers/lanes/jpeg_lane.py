"""A lane whose detector takes JPEGs: while one batch is on the GPU, the next is gathered and begun."""

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from consumers.choose import Chooser
from consumers.entry import Entry
from consumers.lanes.decode import unreadable
from consumers.lanes.lane import LaneThread
from consumers.lanes.outcome import Outcomes
from consumers.poison.retrying import Retrying, raise_if_lasting
from consumers.telemetry import metrics
from engines.jpeg_detector import Damaged, Frame
from streamer.settings import DetectSettings

if TYPE_CHECKING:
    from engines.jpeg_detector import JpegDetector

_IDLE_S = 0.2


class JpegLane(LaneThread):
    """Keeps up to `detector.depth` batches under way; they end in the order in which they began.

    Closes the detector when it is stopped. One that failed goes with the process: a lost GPU takes nothing back.
    """

    def __init__(
        self, number: int, detector: "JpegDetector", settings: DetectSettings, chooser: Chooser, outcomes: Outcomes
    ) -> None:
        super().__init__(number)
        self._detector, self._settings, self._chooser = detector, settings, chooser
        self._outcomes = outcomes
        self._under_way: deque[list[Entry]] = deque()
        self._retrying = Retrying(settings, self._alone, self._check, self._outcomes.condemn, self._stop_event)
        pipeline = settings.pipeline
        self._batch_frames, self._network_cpu = metrics.BATCH.labels(pipeline), metrics.NETWORK_CPU.labels(pipeline)
        self._by_cpu = metrics.BY_CPU.labels(pipeline)
        self._decoding, self._inferring = (metrics.GPU_TIME.labels(pipeline, name) for name in ("decode", "infer"))

    def _work_on(self) -> None:
        while not self._stop_event.is_set():
            self._step(self._take())
        self._step([])
        self._detector.close()

    def _step(self, entries: Sequence[Entry]) -> None:
        failed = self._failed(partial(self._start, entries), entries) if entries else []
        full = len(self._under_way) == self._detector.depth
        while self._under_way and (full or failed or self._outcomes.left or not entries):
            failed += self._failed(self._finish, self._under_way[0])
            full = False
        if failed:
            # Nothing else is under way now.
            self._retrying.work(failed)
        self._retrying.work_off(self._outcomes.left)

    def _failed(self, work: Callable[[], None], entries: Sequence[Entry]) -> list[Entry]:
        """Frames that are to be tried again."""
        try:
            work()
        except Exception as error:  # an engine raises what it likes
            raise_if_lasting(error)
            return [entry for entry in entries if not entry.done]
        return []

    def _alone(self, entries: Sequence[Entry]) -> None:
        self._start(entries)
        if self._under_way:
            self._finish()

    def _check(self) -> None:
        """Raises what the detector raises at a picture in which nothing is."""
        import numpy as np
        import simplejpeg

        model = self._detector.model
        nothing = simplejpeg.encode_jpeg(np.zeros((model.height, model.width, 3), np.uint8))
        self._detector.start([Frame(nothing, model.width, model.height)])
        self._detector.finish()

    def _take(self) -> list[Entry]:
        """What there is; without waiting for a first frame while results of others are about to come."""
        self._turn()
        wait_s = 0 if self._under_way else _IDLE_S
        fill_s = self._settings.batch_wait_ms / 1000
        return self._chooser.take(self._detector.batch, wait_s, fill_s, enough=self._detector.best)

    def _start(self, entries: Sequence[Entry]) -> None:
        self._turn()
        ready: list[Entry] = []
        frames: list[Frame] = []
        for entry in entries:
            header = self._outcomes.admit(entry)
            if header is not None:
                ready.append(entry)
                frames.append(Frame(entry.jpeg, header.width, header.height, entry.track))
        if ready:
            self._batch_frames.observe(len(ready))
            self._detector.start(frames)
            self._under_way.append(ready)

    def _finish(self) -> None:
        self._turn()
        entries = self._under_way.popleft()
        found = self._detector.finish()
        times = self._detector.gpu_times
        self._decoding.observe(times.decode)
        self._inferring.observe(times.infer)
        self._network_cpu.inc(self._detector.times.network_cpu)
        self._by_cpu.inc(self._detector.by_cpu)
        decode_ms = times.decode * 1000
        detect_ms = max(self._detector.times.network * 1000 - decode_ms, 0)
        for entry, one in zip(entries, found, strict=True):
            if isinstance(one, Damaged):
                self._outcomes.dead(entry, unreadable(one.reason))
            else:
                entry.stages["decode"], entry.stages["detect"] = decode_ms, detect_ms
                self._outcomes.found(entry, one)
