"""One stream, from its source to Kafka, in a thread of its own.

open -> (skip) -> pace -> encode -> publish
"""

import logging
import random
import threading
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from producers import metrics
from producers.encoder import Encoder
from producers.lane import Lane
from producers.pacing import Pacer
from producers.picture import Picture
from producers.position import Start, start_anew
from producers.publisher import Publisher
from producers.reconnect import OtherKindError, Reconnecting, State
from producers.sampling import Sampler
from producers.sources.registry import open_source
from producers.sources.source import Source
from producers.transform import NetworkInput
from streamer.addresses import mask
from streamer.errors import SourceError, SourceUnusableError, UsageError
from streamer.lifecycle import Deadline
from streamer.moments import unix_ms
from streamer.records.frame import EndHeader, FrameHeader
from streamer.records.identity import FrameId
from streamer.records.stream import StreamDefinition
from streamer.settings import ProduceSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

log = logging.getLogger(__name__)

SAME_SOURCE = ("source", "options", "video")
"""What makes pictures other pictures: with another of these the run is over and a new one begins."""
SAME_OPENING = (*SAME_SOURCE, "fps", "pace", "loop")
"""What the source is opened with. All else is changed between two frames, with the source open."""


@dataclass(frozen=True)
class Treatment:
    """How frames are made now. network: what transport `network` is made for, None: not known yet."""

    definition: StreamDefinition
    network: NetworkInput | None


class Runner:
    """Runs one stream until its source ends, fails for good, or stop() is called.

    ours: whether the stream certainly is, rather than another process's by now.
    live: what its source is taken for: its frames are dropped rather than waited for, and come at their own pace.
    found_live: what the source is if that was wrong; then nothing was published, and a runner made for it must follow.
    closed: whether its source is; then all that may be left is frames on their way to Kafka.
    """

    def __init__(
        self,
        treatment: Treatment,
        start: Start,
        publisher: Publisher,
        settings: ProduceSettings,
        live: bool,
        ours: "Callable[[], bool]" = lambda: True,
    ) -> None:
        self.stream = treatment.definition.id
        self.state, self.reason = State.CONNECTING, ""
        self._treatment, self._start, self._publisher, self._settings = treatment, start, publisher, settings
        self._live, self._ours = live, ours
        self.found_live: bool | None = None
        self.closed = False
        self._stop = threading.Event()
        self._ending = ""
        self._again = False
        self._deadline: Deadline | None = None
        self._source: Reconnecting | None = None
        self._lane: Lane | None = None
        self._id = FrameId(start.epoch, start.sequence)
        self._sampler = Sampler(None)
        self._thread = threading.Thread(target=self._run, name=f"stream {self.stream}", daemon=True)
        self._captured = metrics.CAPTURED.labels(self.stream)
        self._last_capture = metrics.LAST_CAPTURE.labels(self.stream)

    # The supervisor's thread

    def start(self) -> None:
        """Begins."""
        self._lane = self._publisher.lane(self.stream, waits=not self._live, ours=self._ours)
        self._lane.stamp(self._start.captured_ms)
        self._thread.start()

    @property
    def lane(self) -> Lane | None:
        """Its way to Kafka, once started."""
        return self._lane

    @property
    def treatment(self) -> Treatment:
        """How it makes frames now."""
        return self._treatment

    @property
    def definition(self) -> StreamDefinition:
        """What it runs by now."""
        return self._treatment.definition

    @property
    def over(self) -> bool:
        """Whether it has let everything go."""
        return self._thread.ident is not None and not self._thread.is_alive()

    def treat(self, treatment: Treatment) -> None:
        """From the next frame on, frames are made like this; the source stays open."""
        self._treatment = treatment

    def stop(self, deadline: Deadline, ending: str = "") -> None:
        """Closes the source, and sends what is on its way until `deadline`. Does not wait: see join().

        ending: why this run will never go on; empty: it may, here or elsewhere.
        """
        self._deadline, self._ending = deadline, ending
        self._stop.set()
        if self._source:
            self._source.close()
        if self._lane:
            self._lane.interrupt()

    def join(self, deadline: Deadline) -> bool:
        """Waits for the end; False if it has not come by then."""
        if self._thread.ident is not None:
            self._thread.join(deadline.remaining())
        return not self._thread.is_alive()

    # Its own thread

    def _run(self) -> None:
        assert self._lane is not None
        try:
            self._rounds(self._lane)
        except OtherKindError as found:
            self.found_live = found.live
            log.info("is %s: opened again as such", found, extra={"stream": self.stream})
        except (SourceError, UsageError) as error:
            self._fail(self._lane, mask(str(error)))
        except Exception as error:  # the thread's edge: the other streams go on, this one says why it does not
            log.exception("stream failed", extra={"stream": self.stream})
            self._fail(self._lane, f"{type(error).__name__}: {mask(str(error))}")
        finally:
            if self._ending and self.state not in (State.ENDED, State.FAILED):
                self._end(self._lane, self._ending)
            self.closed = True
            if not self._lane.flush() and self._deadline:
                self._lane.flush(self._deadline)
            self._publisher.release(self._lane)

    def _rounds(self, lane: Lane) -> None:
        """Once through the source, or for ever if it loops: then each round is a run of its own, without an end."""
        start = self._start
        while True:
            self._round(lane, start)
            if self._stop.is_set():
                return
            if not self.definition.loop:
                break
            if self._id.sequence == 0:
                raise SourceUnusableError(f"{mask(self.definition.source)}: no picture in it")
            self._again = True
            start = start_anew(self._id.epoch, unix_ms())
            self._id = FrameId(start.epoch, 0)
        self._end(lane, "")
        lane.flush()
        self._report(State.ENDED, "")

    def _round(self, lane: Lane, start: Start) -> None:
        definition = self.definition
        self._sampler = Sampler(definition.fps, start.after)
        pacer = None if self._live or definition.pace == "fast" else Pacer(self._stop)
        source = self._source = Reconnecting(self._open, self._settings, self._stop, self._heard, live=self._live)
        metrics.FAULTS.labels(self.stream).set_function(lambda: source.faults)
        made_for, encoder = None, None
        with closing(cast("Generator[Picture, None, None]", source.pictures(start.index))) as pictures:
            for picture in pictures:
                if not self._sampler.wants(picture.seconds):
                    continue
                if pacer and not pacer.wait(picture):
                    return
                if made_for is not self._treatment or encoder is None:
                    made_for = self._treatment
                    encoder = Encoder(made_for.definition, made_for.network)
                self._publish(lane, encoder, picture)

    def _publish(self, lane: Lane, encoder: Encoder, picture: Picture) -> None:
        frame_id, captured_ms = self._id, lane.stamp(picture.captured_ms)
        # Given before anything can go wrong with the picture: whatever is lost is a visible hole.
        self._id = FrameId(frame_id.epoch, frame_id.sequence + 1)
        self._captured.inc()
        self._last_capture.set(captured_ms / 1000)
        try:
            encoded = encoder.encode(picture)
        except SourceError as error:
            lane.drop("encode", str(error))
            return
        header = FrameHeader(
            self.stream,
            frame_id,
            captured_ms,
            picture.index,
            encoded.width,
            encoded.height,
            encoded.source_width,
            encoded.source_height,
            encoded.matrix,
            picture.pts,
            picture.source_time,
            _traceparent(),
        )
        if not lane.put(header, encoded.jpeg) and self._stop.is_set():
            self._id = frame_id  # not captured after all: whoever goes on does so with this picture

    def _open(self) -> Source:
        return open_source(self.definition, self._settings)

    def _end(self, lane: Lane, error: str) -> None:
        lane.end(EndHeader(self.stream, self._id, lane.stamp(unix_ms()), error))

    def _fail(self, lane: Lane, error: str) -> None:
        self._end(lane, error)
        self._report(State.FAILED, error)

    def _heard(self, state: State, reason: str) -> None:
        if state is State.WAITING:
            self._sampler.begin_anew()
        # The ends are ours to tell: after them come the next round, or the record that says so.
        if state not in (State.ENDED, State.FAILED):
            self._report(state, reason)

    def _report(self, state: State, reason: str) -> None:
        if state is State.WAITING:
            metrics.RECONNECTS.labels(self.stream).inc()
        log.log(self._level(state), "%s%s", state, f": {reason}" if reason else "", extra={"stream": self.stream})
        for each in State:
            metrics.STATE.labels(self.stream, each).set(each is state)
        self.state, self.reason = state, reason

    def _level(self, state: State) -> int:
        if state in (State.CONNECTING, State.RUNNING) and self._again:
            return logging.DEBUG  # a short clip that loops would fill the log
        return {State.FAILED: logging.ERROR, State.WAITING: logging.WARNING}.get(state, logging.INFO)


def _traceparent() -> str:
    """W3C trace context, version 00: a new trace per frame, not recorded by us."""
    return f"00-{random.getrandbits(128) | 1:032x}-{random.getrandbits(64) | 1:016x}-00"
