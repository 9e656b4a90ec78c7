"""The streams that this process serves now: started, changed, stopped as their definitions say."""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping

from producers import metrics
from producers.assignment import Defined
from producers.network_sizes import NetworkSizes
from producers.position import Position, find_positions, start_from
from producers.publisher import Publisher
from producers.reconnect import State
from producers.runner import SAME_OPENING, SAME_SOURCE, Runner, Treatment
from producers.sources.registry import open_source
from streamer.errors import ServiceError, SourceError
from streamer.lifecycle import Deadline
from streamer.moments import unix_ms
from streamer.records.stream import StreamDefinition
from streamer.retry import Waits
from streamer.settings import Settings

log = logging.getLogger(__name__)

STOP_S = 8.0
"""For the last frames of a stream that is changed or given up."""
SESSION_SHARE = 0.5
"""Of the group's session: streams that go to another process are waited for so long. Heartbeats stop meanwhile."""
LIVE_SEARCH_S, FILE_SEARCH_S = 1.0, 30.0
"""For a stream's last record: a camera's is needed for its epoch only, a file's to go on behind it."""
REPLACED = "replaced by another source"
REMOVED = "removed from the streams"


class Serving:
    """Belongs to one thread.

    finished: told each finite stream that came to its end. ours: whether the streams certainly are, from any thread.
    anew: files begin at their beginning, even where a run was broken off.
    """

    def __init__(
        self,
        settings: Settings,
        publisher: Publisher,
        sizes: NetworkSizes,
        finished: Callable[[StreamDefinition], None] = lambda _: None,
        ours: Callable[[], bool] = lambda: True,
    ) -> None:
        self._settings, self._publisher, self._sizes, self._finished = settings, publisher, sizes, finished
        self._ours = ours
        self._runners: dict[str, Runner] = {}
        self._served: dict[str, Defined] = {}  # what each runner was started or changed by
        self._over: set[str] = set()
        self._late: list[Runner] = []  # given up with frames still on their way
        self._searching, self._asking_sizes = Waits(), Waits()
        self.anew = False
        self._had_ended: dict[str, Defined] = {}  # found to be over before they were started
        self._kinds: dict[str, tuple[StreamDefinition, bool]] = {}  # live or not, where only opening could tell

    @property
    def runners(self) -> Mapping[str, Runner]:
        """By stream, those included that are over."""
        return self._runners

    def apply(self, wanted: Mapping[str, Defined]) -> None:
        """Makes what runs agree with `wanted`; what is already right goes on untouched.

        Raises:
            ServiceError: Kafka refuses us what a stream needs before it can begin.
        """
        self._refresh_sizes(wanted.values())
        self._reap()
        self._kinds = {stream: kind for stream, kind in self._kinds.items() if stream in wanted}
        self._stop(self._runners.keys() - wanted.keys(), REMOVED)
        paused = {stream for stream, defined in wanted.items() if defined.definition.paused}
        self._stop(paused & self._runners.keys(), "")
        for stream, runner in list(self._runners.items()):
            self._change(stream, runner, wanted[stream])
        new = wanted.keys() - paused - self._runners.keys()
        self._start({stream: wanted[stream] for stream in new if wanted[stream] != self._had_ended.get(stream)})

    def leave(self, streams: Collection[str]) -> None:
        """Gives streams up to another process, which goes on with them: their sources are closed on return.

        Frames that Kafka has not taken by then are still sent for a while: behind the other's they change nothing.
        """
        for stream in streams:
            self._had_ended.pop(stream, None)
        # Waiting for a partition without a leader until the group expels us would cost us all other streams as well.
        wait = Deadline(min(STOP_S, SESSION_SHARE * self._settings.kafka.session_timeout_ms / 1000))
        self._end(list(self._runners.keys() & set(streams)), Deadline(STOP_S), "", wait)

    def stop(self, deadline: Deadline) -> None:
        """Ends all."""
        self._end(list(self._runners), deadline, "")
        for runner in self._late:
            runner.join(deadline)

    def _refresh_sizes(self, wanted: Iterable[Defined]) -> None:
        if not self._asking_sizes.over:
            return
        try:
            self._sizes.refresh(defined.definition for defined in wanted)
            self._asking_sizes.worked()
        except ServiceError as error:
            wait_s = self._asking_sizes.failed()
            log.warning("network sizes are not known, asked again in %.1f s: %s", wait_s, error)

    def _change(self, stream: str, runner: Runner, new: Defined) -> None:
        old = self._served[stream]
        if new.written_ms != old.written_ms and runner.over:
            self._end([stream], Deadline(STOP_S), "")  # written again: it is to run again
            return
        treatment = self._treatment(new.definition)
        if _differ(old.definition, new.definition, SAME_OPENING):
            self._stop([stream], REPLACED if _differ(old.definition, new.definition, SAME_SOURCE) else "")
        elif treatment != runner.treatment:
            runner.treat(treatment)
            log.info("changed", extra={"stream": stream})
        if stream in self._runners:
            self._served[stream] = new

    def _start(self, new: Mapping[str, Defined]) -> None:
        from kafka.errors import AuthorizationError

        if not new or not self._searching.over:
            return
        live = {stream: self._is_live(defined.definition) for stream, defined in new.items()}
        for kind, limit_s in ((True, LIVE_SEARCH_S), (False, FILE_SEARCH_S)):
            streams = [stream for stream in new if live[stream] is kind]
            try:
                # One pass through a partition for all of its streams.
                last = find_positions(self._settings, streams, self._publisher.partition, limit_s)
            except ServiceError as error:
                if isinstance(error.__cause__, AuthorizationError):
                    raise
                wait_s = self._searching.failed()
                log.warning("streams wait %.1f s, their last frames can't be read: %s", wait_s, error)
                return
            for stream in streams:
                self._begin(new[stream], last.get(stream), kind)
        self._searching.worked()

    def _is_live(self, definition: StreamDefinition) -> bool:
        opened, live = self._kinds.get(definition.id, (None, True))
        if opened and not _differ(opened, definition, SAME_SOURCE):
            return live
        try:
            return open_source(definition, self._settings.produce).live
        except SourceError:
            return True  # the runner says what is wrong when it tries the same

    def _begin(self, defined: Defined, last: Position | None, live: bool) -> None:
        definition = defined.definition
        if last and last.ended and not last.error and not live and last.captured_ms >= defined.written_ms:
            self._had_ended[definition.id] = defined  # this very definition has run to its end before
            self._finished(definition)
            return
        start = start_from(last, live or self.anew, unix_ms())
        if start.index:
            extra = {"stream": definition.id}
            log.info("goes on with picture %d of a run that was broken off", start.index, extra=extra)

        def ours() -> bool:
            # Not that of a runner that isn't waited for any more: from then on another member may have the stream.
            return self._ours() and self._runners.get(definition.id) is runner

        runner = Runner(self._treatment(definition), start, self._publisher, self._settings.produce, live, ours)
        self._runners[definition.id], self._served[definition.id] = runner, defined
        runner.start()

    def _treatment(self, definition: StreamDefinition) -> Treatment:
        return Treatment(definition, self._sizes.of(definition))

    def _reap(self) -> None:
        for stream, runner in list(self._runners.items()):
            if not runner.over or stream in self._over:
                continue
            if runner.found_live is not None:  # started again with all that is new
                self._kinds[stream] = runner.definition, runner.found_live
                self._end([stream], Deadline(STOP_S), "")
                continue
            self._over.add(stream)
            if runner.state is State.ENDED:
                self._finished(runner.definition)

    def _stop(self, streams: Iterable[str], ending: str) -> None:
        self._end(list(streams), Deadline(STOP_S), ending)

    def _end(self, streams: list[str], deadline: Deadline, ending: str, wait: Deadline | None = None) -> None:
        """wait: for the runners' ends, if not until the `deadline` of their last frames."""
        self._late = [runner for runner in self._late if not runner.over]
        # All are told first: closing takes as long as the slowest, not as all together.
        for stream in streams:
            self._runners[stream].stop(deadline, ending)
        for stream in streams:
            runner = self._runners[stream]
            if not runner.join(wait or deadline):
                self._late.append(runner)
                if runner.closed:
                    log.warning("Kafka has not taken its last frames yet", extra={"stream": stream})
                else:
                    log.error("its source does not close; given up", extra={"stream": stream})
            del self._runners[stream], self._served[stream]
            self._over.discard(stream)
            metrics.forget(stream)


def _differ(old: StreamDefinition, new: StreamDefinition, fields: Iterable[str]) -> bool:
    return any(getattr(old, field) != getattr(new, field) for field in fields)
