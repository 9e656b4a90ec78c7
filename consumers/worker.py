"""A worker: the wiring of intake, lanes, committer and mirror, and the order in which they start and stop."""

import logging
import threading
import time
from collections.abc import Callable

from consumers.choose import Chooser
from consumers.commit import Committer
from consumers.entry import Batch, Entry
from consumers.faults import Fault, judge
from consumers.follow import Followers
from consumers.intake import Intake
from consumers.lanes.lane import LaneThread
from consumers.lanes.make import make_lane
from consumers.lanes.motion_gate import MotionGate
from consumers.lanes.opening import open_watched
from consumers.ledger import Ledger
from consumers.mirroring.mirror import Mirror
from consumers.mirroring.preview import Preview
from consumers.pipeline import PipelineRegistration
from consumers.telemetry import metrics
from consumers.telemetry.gpu_metrics import GPUS
from consumers.telemetry.stream_ages import STREAM_AGES
from consumers.treatment import Treatments
from engines.progress import BuildStopped
from streamer.broker import kafka_error
from streamer.errors import ServiceError, StreamerError
from streamer.lifecycle import Deadline
from streamer.records import GapReason
from streamer.retry import Retry
from streamer.settings import Settings

log = logging.getLogger(__name__)

_POLL_MS = 100
_GAUGES_S = _MODEL_S = 2.0
_RETRY_S, _RETRY_MOST_S = 0.2, 5.0
_LEAVE_S = 2.0  # of the time to stop, for what comes when the lanes are done


class Worker:
    """One replica of a pipeline."""

    def __init__(self, settings: Settings, instance: str) -> None:
        self._settings = settings
        self._pipeline = settings.detect.pipeline
        self._ledger = Ledger(self._pipeline)
        self._chooser = Chooser(settings.detect.queue, self._skip)
        self._mirror = Mirror(settings)
        self._preview = Preview(settings, self._ledger.owns)
        self._treatments = Treatments(settings.kafka, self._pipeline)
        self._followers = Followers(self._pipeline, settings.detect.candidate_confidence, self._treatments.places)
        self._gate = MotionGate()
        self._intake = Intake(
            *(settings, self._ledger, self._chooser, self._mirror, self._treatments, self._followers, self._gate)
        )
        self._committer = Committer(
            *(settings, self._ledger, self._follow, self._mirror.write, self._intake.plain_offsets.add, instance)
        )
        self._registration = PipelineRegistration(settings)
        self._lanes: list[LaneThread] = []
        self._tries = Retry(_RETRY_S, _RETRY_MOST_S, settings.detect.retry_timeout_s)
        self._gauges_at = self._model_at = 0.0
        self._not_ready: str | None = "starting"
        self._trouble: str | None = None

    def run(
        self, stopping: threading.Event, replace_model: bool = False, started: Callable[[], None] = lambda: None
    ) -> None:
        """Until `stopping` is set, or something fails that another worker may be able to do.

        started: called once all is there.

        Raises:
            StreamerError: what failed, and what to change.
        """
        try:
            self._start(stopping, replace_model)
            started()
            self._not_ready = None
            while not stopping.is_set():
                self._step(stopping)
                self._check()
        except BuildStopped:
            log.info("pipeline %s: stopped before its engine was built", self._pipeline)
        finally:
            self._not_ready = "stopping"
            self._ledger.failing = any(thread.failed is not None for thread in self._threads())
            self._stop()

    @property
    def not_ready(self) -> str | None:
        """Why it does no work now; None: it does. From any thread."""
        return self._not_ready or self._trouble or self._committer.trouble or self._intake.why_idle()

    def _start(self, stopping: threading.Event, replace_model: bool) -> None:
        detect = self._settings.detect
        STREAM_AGES.watch(self._pipeline, self._ledger.owns)
        detectors = open_watched(detect, stopping, self._wait_for)
        GPUS.watch(detectors)
        self._followers.classes = detectors[0].model.classes
        self._registration.join(detectors[0].model, replace_model)
        self._treatments.open()
        self._mirror.open()
        self._committer.open()
        self._intake.open(stopping)
        self._lanes = [
            make_lane(number, detector, detect, self._chooser, self._ledger, self._gate, self._preview)
            for number, detector in enumerate(detectors)
        ]
        for thread in (self._mirror, self._preview, self._committer, *self._lanes):
            thread.start()
        log.info("pipeline %s: ready with %d lanes", self._pipeline, len(self._lanes))

    def _step(self, stopping: threading.Event) -> None:
        from kafka.errors import KafkaError

        try:
            self._intake.step(_POLL_MS)
            self._check_model()
            self._tries.worked()
            self._trouble = None
        except (KafkaError, ServiceError) as error:
            if stopping.is_set():
                return  # which may be why
            wait_s = None if judge(error) is Fault.LASTING else self._tries.failed()
            if wait_s is None:
                raise error if isinstance(error, ServiceError) else kafka_error(self._settings.kafka, error) from None
            self._trouble = f"frames can't be read: {error}"
            log.warning("polling failed, trying again in %.1f s: %s", wait_s, error)
            stopping.wait(wait_s)

    def _check_model(self) -> None:
        if time.monotonic() - self._model_at > _MODEL_S:
            self._registration.check()
            self._model_at = time.monotonic()  # one that failed is tried again at the next step

    def _follow(self, batch: Batch) -> None:
        self._followers.follow(batch)
        self._gate.forget_streams(batch.forgotten)

    def _wait_for(self, what: str) -> None:
        self._not_ready = what

    def _skip(self, entry: Entry, reason: GapReason, detail: str) -> None:
        self._ledger.finish(entry, reason, detail)

    def _threads(self) -> "list[Committer | LaneThread]":
        return [self._committer, *self._lanes]

    def _check(self) -> None:
        for lane in self._lanes:
            lane.check(self._settings.detect.stuck_after_s)
        for thread in self._threads():
            if thread.failed is not None:
                raise StreamerError(f"{thread.name} failed: {thread.failed}") from thread.failed
        if time.monotonic() - self._gauges_at > _GAUGES_S:
            self._gauges_at = time.monotonic()
            metrics.WAITING.labels(self._pipeline).set(self._chooser.depth())
            metrics.UNCOMMITTED.labels(self._pipeline).set(self._ledger.depth())

    def _stop(self) -> None:
        """Lanes finish what they hold, the committer commits it while we are still a member, then we leave."""
        drain_s = self._settings.detect.drain_timeout_s
        # A lane that hangs leaves time to commit what the others have done.
        deadline, lanes = Deadline(drain_s), Deadline(drain_s - min(_LEAVE_S, drain_s / 2))
        self._preview.stop()
        for lane in self._lanes:
            lane.stop()
        self._chooser.close()
        for lane in self._lanes:
            if lane.is_alive():
                lane.join(lanes.remaining())
        self._intake.close(deadline.remaining())
        if self._committer.is_alive():
            self._committer.stop()
            self._committer.join(deadline.remaining())
        if self._mirror.is_alive():
            self._mirror.stop(deadline.remaining())
        if self._preview.is_alive():
            self._preview.join(deadline.remaining())
        STREAM_AGES.unwatch(self._pipeline, self._ledger.owns)
        self._treatments.close()
        self._registration.close()
        if self._lanes:  # else it never began, and why is said elsewhere
            log.info("pipeline %s: stopped", self._pipeline)
