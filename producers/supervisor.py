"""The process: its publisher, its streams, what they wait for, and the order in which all of it stops."""

import logging
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

from producers.assignment import Assignment, Defined
from producers.lane import Lane
from producers.network_sizes import NetworkSizes
from producers.publisher import Publisher
from producers.reader_lag import ReaderLag
from producers.reconnect import State
from producers.serving import Serving
from streamer.catalog import write_definition
from streamer.errors import StreamerError
from streamer.lifecycle import Deadline
from streamer.moments import unix_ms
from streamer.records.stream import StreamDefinition
from streamer.settings import Settings
from streamer.telemetry.server import TelemetryServer
from streamer.topics import topic_names

log = logging.getLogger(__name__)

TICK_S = 0.5
DRAIN_S = 8.0
CLOSE_S = 2.0


class Supervisor:
    """One per process; run_group() or run_named() runs until it is over or told to stop.

    started: called once all but the streams is there.
    """

    def __init__(self, settings: Settings, started: Callable[[], None] = lambda: None) -> None:
        self._settings, self._started = settings, started
        self._publisher = Publisher(settings)
        self._sizes = NetworkSizes(settings.kafka)
        self._serving = Serving(settings, self._publisher, self._sizes, self._finished, self._ours)
        self._lag = ReaderLag(settings, self._waiting)
        self._assignment: Assignment | None = None
        self._server = TelemetryServer(settings.telemetry, self._why_not_ready)

    def run_group(self, stopping: threading.Event) -> None:
        """Serves this process's share of all managed streams until `stopping`.

        Raises:
            StreamerError: Kafka is out of reach at the start, or refuses us; or publishing failed by a fault of ours.
        """
        with self._running():
            self._assignment = assignment = Assignment(self._settings.kafka, self._serving.leave)
            assignment.open()
            self._started()
            try:
                log.info("waiting for streams; `streamer streams add` defines one")
                while not stopping.is_set():
                    self._publisher.check()
                    self._serving.apply(assignment.poll(timeout_ms=round(TICK_S * 1000)))
            finally:
                # Cameras first: another opens them as soon as we have left the group.
                self._serving.stop(Deadline(DRAIN_S))
                assignment.close()

    def run_named(self, definitions: Sequence[StreamDefinition], stopping: threading.Event, anew: bool = False) -> bool:
        """Serves `definitions`, which are written already, until all have ended or `stopping`.

        anew: files begin at the beginning, even where a run was broken off.

        Returns:
            False if a stream failed.

        Raises:
            StreamerError: Kafka is out of reach at the start, or refuses us; or publishing failed by a fault of ours.
        """
        now_ms = unix_ms()
        wanted = {definition.id: Defined(definition, now_ms) for definition in definitions}
        self._serving.anew = anew
        with self._running():
            self._started()
            try:
                while not self._all_over(wanted):
                    self._publisher.check()
                    self._serving.apply(wanted)
                    if stopping.wait(TICK_S):
                        break
                return all(runner.state is not State.FAILED for runner in self._serving.runners.values())
            finally:
                self._serving.stop(Deadline(DRAIN_S))

    @contextmanager
    def _running(self) -> Iterator[None]:
        self._publisher.open()
        self._server.start()
        self._lag.start()
        try:
            yield
        finally:
            self._lag.close(Deadline(CLOSE_S))
            self._server.close()
            self._sizes.close()
            self._publisher.close(Deadline(CLOSE_S))

    def _ours(self) -> bool:
        """Streams that were named are; of those that a group gave us another member may know better."""
        return self._assignment is None or self._assignment.holds

    def _why_not_ready(self) -> str | None:
        # Without a frame to publish, what the group's coordinator answers is all that tells.
        why = self._publisher.why_not_ready()
        return why or (self._assignment.why_unheard() if self._assignment else None)

    def _all_over(self, wanted: Mapping[str, Defined]) -> bool:
        runners = self._serving.runners
        # One that found its source to be of the other kind is about to be started again.
        over = all(runner.over and runner.found_live is None for runner in runners.values())
        return over and wanted.keys() == runners.keys()

    def _waiting(self) -> Mapping[Lane, Collection[str]]:
        return {
            runner.lane: runner.definition.pipelines
            for runner in list(self._serving.runners.values())
            if runner.lane and runner.lane.waits and not runner.over and runner.definition.freshness == "every"
        }

    def _finished(self, definition: StreamDefinition) -> None:
        """A file that has ended is paused, so that nobody plays it again, not even when the log has forgotten its end.

        `streamer streams resume` does play it again.
        """
        if not definition.managed:
            return
        paused = definition.model_copy(update={"paused": True})
        try:
            write_definition(
                self._settings.kafka, topic_names(self._settings.kafka).streams, definition.id, paused.to_json()
            )
        except StreamerError as error:
            log.warning(
                "can't be paused, after a restart it will run again: %s", error, extra={"stream": definition.id}
            )
