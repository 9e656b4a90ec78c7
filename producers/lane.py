"""One stream's way to Kafka: what waits, what is on its way, and who gives way when there is no room.

    put() -> queue -> (window open?) -> in flight -> acknowledged

The queue is ours, so a live stream can drop its oldest frames there; what is in flight belongs to Kafka's client
and can't be taken back, so the window stays closed while the broker doesn't answer.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from producers import metrics
from producers.link import Link
from streamer.lifecycle import Deadline
from streamer.records.frame import EndHeader, FrameHeader

if TYPE_CHECKING:
    from kafka.producer.future import RecordMetadata

log = logging.getLogger(__name__)

RECORD_OVERHEAD = 640
"""Bytes of our headers and of Kafka's framing around a JPEG, rounded up."""
STALL_S = 1.0
"""A live stream hands nothing more over while its oldest record in flight is older: the broker is not answering."""


@dataclass(slots=True, eq=False)
class Record:
    """A frame, or the end of a run, until it is acknowledged."""

    header: FrameHeader | EndHeader
    value: bytes | None
    size: int
    sent_at: float = 0.0
    refused: bool = False

    @property
    def droppable(self) -> bool:
        """Whether a live stream may leave it out."""
        return self.value is not None


class Lane:
    """Made by `Publisher.lane`. `put`, `end` and `flush` belong to the stream's thread, the rest to any.

    Records of a lane reach the log in the order in which they were put; one that could not be acknowledged is
    sent again together with all behind it, so a record may be there twice, never out of order.

    A run is begun only while the stream is certainly `ours`, and its first record goes alone: the rest follows if the
    stream still is ours once that is acknowledged. We may have been frozen, or without a broker, while another took it
    over and began a newer run. What comes behind that, no worker looks at; of a run that they saw begin, a gap tells of
    all the rest, of any other nothing would. Late can be only the one record that Kafka's client had already.

    records, record_bytes: put so far. first_offset: of the first one acknowledged, in the lane's partition.
    """

    def __init__(
        self,
        stream: str,
        partition: int,
        waits: bool,
        wake: Callable[[], None],
        broken: Callable[[Link, Exception], None],
        ours: Callable[[], bool],
    ) -> None:
        self.stream, self.partition, self.waits = stream, partition, waits
        self._key = stream.encode()
        self._wake, self._broken, self._ours = wake, broken, ours
        # Epochs of the last run that certainly began in time, and of the last record acknowledged.
        self._begun = self._acknowledged_epoch = -1
        self._changed = threading.Condition()
        self._queue: deque[Record] = deque()
        self._in_flight: deque[Record] = deque()
        self._queued_bytes = self._flying_bytes = 0
        self._link: Link | None = None
        self._share = self._largest = 1 << 62
        self._held = self._interrupted = False
        self._last_ms = self._acknowledged_ms = 0
        self._published = metrics.PUBLISHED.labels(stream)
        self._published_bytes = metrics.PUBLISHED_BYTES.labels(stream)
        self._said: set[str] = set()
        self.records = self.record_bytes = 0
        self.first_offset: int | None = None

    # The stream's thread

    def stamp(self, captured_ms: int) -> int:
        """`captured_ms`, or the last one given if that is later: Kafka timestamps never fall within a stream."""
        self._last_ms = max(self._last_ms, captured_ms)
        return self._last_ms

    def put(self, header: FrameHeader, jpeg: bytes) -> bool:
        """Publishes a frame. A file's waits for room, a live one's drops its oldest frames for it.

        Returns:
            False if it was left out: too large for the topic, or interrupted while it waited.
        """
        record = Record(header, jpeg, len(jpeg) + RECORD_OVERHEAD)
        with self._changed:
            if len(jpeg) > self._largest:
                self.drop("oversize", f"a JPEG of {len(jpeg)} bytes is more than topic frames takes")
                return False
            if self.waits:
                self._changed.wait_for(lambda: self._interrupted or (not self._held and self._has_room(record)))
                if self._interrupted:
                    return False
            else:
                self._make_room(record)
            self.records += 1
            self.record_bytes += record.size
            self._append(record)
        return True

    def end(self, header: EndHeader) -> None:
        """Publishes the end of a run; it neither waits nor is dropped."""
        with self._changed:
            self._append(Record(header, None, RECORD_OVERHEAD))

    def flush(self, deadline: Deadline | None = None) -> bool:
        """Waits until everything put is acknowledged; False if the time was up, or without one interrupted, before."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._is_empty or (deadline is None and self._interrupted),
                timeout=deadline.remaining() if deadline else None,
            )
            return self._is_empty

    # Any thread

    def drop(self, reason: str, explanation: str) -> None:
        """Counts a frame that leaves a hole; said once per lane and reason."""
        metrics.DROPPED.labels(self.stream, reason).inc()
        if reason not in self._said:
            self._said.add(reason)
            log.warning("frames are dropped: %s", explanation, extra={"stream": self.stream, "reason": reason})

    def interrupt(self) -> None:
        """Ends the waiting of `put`, now and from now on, and that of a run's beginning for the stream to be ours."""
        with self._changed:
            self._interrupted = True
            self._hand_over()
            self._changed.notify_all()

    def hold(self, held: bool) -> None:
        """Makes a file wait (its reader is behind), or go on."""
        with self._changed:
            self._held = held
            self._changed.notify_all()

    @property
    def held(self) -> bool:
        """Whether it waits for its reader."""
        return self._held

    @property
    def outstanding_bytes(self) -> int:
        """Put and not yet acknowledged."""
        return self._queued_bytes + self._flying_bytes

    @property
    def queued(self) -> int:
        """Records not yet handed to Kafka's client."""
        return len(self._queue)

    @property
    def _is_empty(self) -> bool:
        return not self._queue and not self._in_flight

    # The publisher

    def limit(self, share: int, largest: int) -> None:
        """How many bytes may be outstanding, and how large a JPEG may be."""
        with self._changed:
            # A topic may take less than the settings say: what it once refused stays too large.
            self._share, self._largest = share, min(largest, self._largest)
            self._changed.notify_all()

    def connect(self, link: Link) -> None:
        """Publishes through `link` from now on, beginning with what waits."""
        with self._changed:
            self._link = link
            self._hand_over()

    def disconnect(self, now_ms: int) -> None:
        """Takes back what the last link did not acknowledge, in order, without what it can't ever take."""
        with self._changed:
            self._link = None
            for record in self._in_flight:
                if record.refused:
                    self.drop("oversize", f"topic frames refuses a frame of {record.size} bytes")
            everything = [record for record in (*self._in_flight, *self._queue) if not record.refused]
            self._queue = deque(self._restamped(record, now_ms) for record in everything)
            self._queued_bytes, self._flying_bytes = sum(record.size for record in everything), 0
            self._in_flight.clear()

    def advance(self) -> None:
        """Hands over what waits, if the window has opened."""
        with self._changed:
            self._hand_over()

    def oldest_s(self) -> float:
        """Age in seconds of the oldest record in flight; 0 if there is none."""
        with self._changed:
            return time.monotonic() - self._in_flight[0].sent_at if self._in_flight else 0.0

    def _has_room(self, record: Record) -> bool:
        outstanding = self.outstanding_bytes
        return not outstanding or outstanding + record.size <= self._share

    def _make_room(self, record: Record) -> None:
        while self._queue and self._queue[0].droppable and not self._has_room(record):
            self._queued_bytes -= self._queue.popleft().size
            self.drop("queue_full", "Kafka takes less than the camera gives")

    def _append(self, record: Record) -> None:
        self._queue.append(record)
        self._queued_bytes += record.size
        self._hand_over()

    def _window_open(self) -> bool:
        if not self._in_flight:
            return True
        if self.waits:
            return True  # put() has already waited for room
        fresh = time.monotonic() - self._in_flight[0].sent_at < STALL_S
        return fresh and self._flying_bytes + self._queue[0].size <= self._share // 2

    def _may_go(self) -> bool:
        epoch = self._queue[0].header.id.epoch
        if epoch == self._begun:
            return True
        if self._in_flight and self._in_flight[-1].header.id.epoch == epoch:
            return False  # the first is on its way
        if not self._ours():
            if self._interrupted:
                self._give_up()
            return False
        if self._acknowledged_epoch == epoch:
            self._begun = epoch
        return True

    def _give_up(self) -> None:
        """What waits is of a run that will not begin: nobody needs to wait for it."""
        self._queue.clear()
        self._queued_bytes = 0
        self._changed.notify_all()

    def _hand_over(self) -> None:
        from kafka.errors import KafkaError

        while self._queue and self._link is not None and self._may_go() and self._window_open():
            record = self._queue[0]
            record.sent_at = time.monotonic()
            link = self._link
            # Before the send: its acknowledgement may come before send() returns, and waits for our lock.
            self._queue.popleft()
            self._in_flight.append(record)
            self._queued_bytes -= record.size
            self._flying_bytes += record.size
            try:
                link.send(
                    self.partition,
                    self._key,
                    record.value,
                    record.header.to_headers(),
                    record.header.captured_ms,
                    partial(self._acknowledge, record),
                    partial(self._fail, link, record),
                )
            except (KafkaError, ValueError) as error:
                self._link = None
                self._broken(link, error)

    def _acknowledge(self, record: Record, metadata: "RecordMetadata") -> None:
        """From the client's thread. A late word of a former link finds another record at the head."""
        with self._changed:
            if not self._in_flight or self._in_flight[0] is not record:
                return
            self._in_flight.popleft()
            self._flying_bytes -= record.size
            self._acknowledged_ms, self._acknowledged_epoch = record.header.captured_ms, record.header.id.epoch
            if self.first_offset is None:
                self.first_offset = metadata.offset
            self._changed.notify_all()
            waiting = bool(self._queue)
        if record.droppable:
            metrics.ACKNOWLEDGE.observe(time.monotonic() - record.sent_at)
            self._published.inc()
            self._published_bytes.inc(record.size)
        if waiting:
            self._wake()

    def _fail(self, link: Link, record: Record, error: Exception) -> None:
        """From the client's thread."""
        from kafka.errors import MessageSizeTooLargeError

        if isinstance(error, MessageSizeTooLargeError):
            record.refused = True
            with self._changed:
                self._largest = min(self._largest, record.size - RECORD_OVERHEAD - 1)
        self._broken(link, error)

    def _restamped(self, record: Record, now_ms: int) -> Record:
        """With a time that the broker takes: a clock that ran ahead and was set back leaves times in the future."""
        captured_ms = max(min(record.header.captured_ms, now_ms), self._acknowledged_ms)
        if captured_ms != record.header.captured_ms:
            record = replace(record, header=replace(record.header, captured_ms=captured_ms))
        self._last_ms = captured_ms
        return record
