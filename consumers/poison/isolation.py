"""Begins frames, having written down that it does; suspect ones apart from all others. See attempts.py."""

import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from consumers.ledger import Ledger
from consumers.poison.attempts import GROUP, Attempt, begun_alone, begun_in_group, begun_together
from consumers.telemetry import metrics
from streamer.group import answer_group, poll_group, read_only
from streamer.moments import unix_ms
from streamer.settings import DetectSettings

if TYPE_CHECKING:
    from kafka import KafkaConsumer, TopicPartition
    from kafka.consumer.fetcher import ConsumerRecord

log = logging.getLogger(__name__)

POLL_RECORDS = 64  # at once: how far the bound on waiting frames can be overrun
_IDLE_S = 0.1
_WRITE_MS = 5_000


class Polled(NamedTuple):
    """A record as a poll brought it: with the membership of then, and when, in ms since 1970."""

    partition: "TopicPartition"
    record: "ConsumerRecord"
    membership: Any
    polled_ms: int


TakeIn = Callable[[Polled, int], None]
"""Takes a record in; one that was begun so often (0: may be begun) is dead."""

Learn = Callable[["TopicPartition", Sequence["ConsumerRecord"]], None]
"""Before a partition's next records are taken in: has what must be known of their streams, and of the log before them.
Raises KafkaError or ServiceError, and nothing is begun."""


class Isolation:
    """Belongs to the poller's thread. While `active`, `step` polls, and nobody else.

    learn, take_in: what is done with records before any of them is begun, and with the one whose turn it is. flush:
    commits what is to be committed outside transactions, which must not come behind what is written here.
    """

    def __init__(
        self, settings: DetectSettings, ledger: Ledger, learn: Learn, take_in: TakeIn, flush: Callable[[], None]
    ) -> None:
        self._settings, self._ledger = settings, ledger
        self._learn, self._take_in, self._flush = learn, take_in, flush
        self._suspects: dict[TopicPartition, int] = {}  # -> offset behind the last suspect
        self._held: dict[TopicPartition, deque[Polled]] = {}  # the partition whose turn it is first
        self._reads_apart = False  # partitions are paused, which outlives a rebalance that leaves them with us

    @property
    def active(self) -> bool:
        """Whether there are suspects, or were until now."""
        return bool(self._suspects) or self._reads_apart

    def opened(self, partition: "TopicPartition", attempt: Attempt | None) -> None:
        """A partition was taken over, to be read from its committed offset."""
        self._held.pop(partition, None)
        self._suspects.pop(partition, None)
        if attempt is not None:
            log.warning(
                "partition %d: a worker died at its frames from %s on; they are begun apart from others",
                *(partition.partition, self._ledger.committed_offset(partition.partition)),
            )
            self._suspects[partition] = attempt.until

    def begin(self, consumer: "KafkaConsumer", polled: "Mapping[TopicPartition, list[ConsumerRecord]]") -> None:
        """Before the first frames of partitions are begun together.

        Raises:
            KafkaError, ServiceError: it could not be written down, or a stream not learned of. Then nothing may be
                begun.
        """
        for partition, records in polled.items():
            self._learn(partition, records)
        attempts = {
            partition: begun_together(records[0].offset, _log_end(consumer, partition, records), self._settings.queue)
            for partition, records in polled.items()
            if not self._ledger.begun(partition.partition)
        }
        if attempts:
            self._write(consumer, attempts, consumer.group_metadata(), owed=True)

    def step(self, consumer: "KafkaConsumer", timeout_ms: int) -> None:
        """Begins what comes next, if nothing is under way any more.

        Raises:
            KafkaError, ServiceError: Kafka fails; nothing was begun.
        """
        if not self._ledger.wait_idle(_IDLE_S):
            answer_group(consumer)
            return
        self._poll(consumer, timeout_ms)
        partition = next(iter(self._held), None)
        if partition is not None:
            self._begin_apart(consumer, partition)

    def _poll(self, consumer: "KafkaConsumer", timeout_ms: int) -> None:
        """Brings suspects of partitions of which none waits here; leaves everything else in the log."""
        assignment = consumer.assignment()
        self._held = {p: held for p, held in self._held.items() if held and self._ledger.owns(p.partition)}
        unread = {p for p, until in self._suspects.items() if p in assignment and consumer.position(p) < until}
        self._suspects = {p: until for p, until in self._suspects.items() if p in unread or p in self._held}
        wanted = unread - self._held.keys()
        self._reads_apart = True
        read_only(consumer, wanted)
        polled = poll_group(consumer, 0 if self._held else timeout_ms, max_records=POLL_RECORDS)
        membership, now_ms = consumer.group_metadata(), unix_ms()
        for partition, records in polled.items():
            if membership.generation_id >= 0 and self._ledger.owns(partition.partition):
                self._held[partition] = deque(Polled(partition, each, membership, now_ms) for each in records)
        if not self._suspects:
            log.info("all frames at which a worker died are through")
            read_only(consumer, consumer.assignment())
            self._reads_apart = False

    def _begin_apart(self, consumer: "KafkaConsumer", partition: "TopicPartition") -> None:
        held = self._held[partition]
        self._learn(partition, [each.record for each in held])
        offset, attempt = held[0].record.offset, self._ledger.attempt(partition.partition)
        known = attempt or Attempt(offset + 1)
        if known.is_condemned(offset, self._settings.tries):
            self._take_in(held.popleft(), known.tries)
            return
        alone = known.goes_alone(offset)
        end = offset + 1 if alone else min(offset + GROUP, held[-1].record.offset + 1)
        attempt = begun_alone(known, offset) if alone else begun_in_group(known, end)
        self._write(consumer, {partition: attempt}, held[0].membership, owed=False)
        metrics.SUSPECTS.labels(self._settings.pipeline, "alone" if alone else "in a group").inc()
        while held and held[0].record.offset < end:
            self._take_in(held.popleft(), 0)
        # Partitions take turns.
        self._held[partition] = self._held.pop(partition)

    def _write(
        self,
        consumer: "KafkaConsumer",
        attempts: "Mapping[TopicPartition, Attempt]",
        membership: Any,
        owed: bool,
    ) -> None:
        from kafka.structs import OffsetAndMetadata

        offsets = {
            partition: OffsetAndMetadata(*written, -1)
            for partition, attempt in attempts.items()
            if (written := self._ledger.with_attempt(partition.partition, attempt))
        }
        self._flush()
        consumer.commit(offsets, timeout_ms=_WRITE_MS)
        for partition in offsets:
            self._ledger.begin(partition.partition, attempts[partition], membership, owed)


def _log_end(consumer: "KafkaConsumer", partition: "TopicPartition", polled: "list[ConsumerRecord]") -> int:
    """As of the last fetch."""
    return max(int(consumer.highwater(partition) or 0), int(polled[-1].offset) + 1)
