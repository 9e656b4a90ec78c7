"""Which streams are ours: our share of topic `streams`, given out by its consumer group.

A partition that comes is read from its beginning; its streams count only once its end has been reached, so that no
camera is opened by a definition that a later record takes back.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from streamer.broker import connect_consumer, kafka_error, topic_missing
from streamer.errors import UsageError
from streamer.group import Lease, poll_group, why_unheard
from streamer.records.stream import StreamDefinition, parse_definition
from streamer.settings import KafkaSettings
from streamer.topics import topic_names

if TYPE_CHECKING:
    from kafka import KafkaConsumer, TopicPartition
    from kafka.consumer.fetcher import ConsumerRecord

log = logging.getLogger(__name__)

FETCH_WAIT_MS = 500
"""Definitions change rarely: the broker answers when there is one, or after so long. The ends and records of partitions
that come are answered behind that, on the same connection, and polls wait for the ends. With 5 s a takeover took 1.4 to
5.1 s, now .3 to 1.4; 40 idle streams cost a quarter of a percent of a core more."""


@dataclass(frozen=True)
class Defined:
    """A definition, and when it was written in ms since 1970."""

    definition: StreamDefinition
    written_ms: int


class Assignment:
    """Our membership of the group. Belongs to one thread.

    leave: called with the streams of partitions that go to another member; it must close their cameras before it
        returns, because only then may the other open them.
    """

    def __init__(self, kafka: KafkaSettings, leave: Callable[[Collection[str]], None]) -> None:
        self._kafka, self._leave = kafka, leave
        self._consumer: KafkaConsumer | None = None
        self._lease: Lease | None = None
        self._defined: dict[TopicPartition, dict[str, Defined]] = defaultdict(dict)
        # Partitions go from _came, with the end that they had then in _ends, to _read.
        self._came: set[TopicPartition] = set()
        self._ends: dict[TopicPartition, int] = {}
        self._read: set[TopicPartition] = set()

    def open(self) -> None:
        """Joins the group.

        Raises:
            ServiceError: no broker answers, it refuses us, or has no topic `streams`.
        """
        from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor

        names = topic_names(self._kafka)
        self._consumer = connect_consumer(
            self._kafka,
            group_id=names.producer_group(),
            # Cooperative: a member that comes or goes must not close everybody's cameras for a moment.
            partition_assignment_strategy=[CooperativeStickyAssignor],
            fetch_max_wait_ms=FETCH_WAIT_MS,
        )
        self._lease = Lease(self._consumer)
        if not self._consumer.partitions_for_topic(names.streams):  # also: without them it would join for nothing
            raise topic_missing(self._kafka, names.streams)
        self._consumer.subscribe([names.streams], listener=_listener(self))

    def why_unheard(self) -> str | None:
        """Why no definitions come, if Kafka does not answer; from any thread."""
        return why_unheard(self._consumer) if self._consumer is not None else None

    @property
    def holds(self) -> bool:
        """Whether what we have is certainly ours; from any thread."""
        return self._lease is not None and self._lease.holds

    def poll(self, timeout_ms: int) -> dict[str, Defined]:
        """Takes in what is new; returns all streams that are ours now.

        Raises:
            ServiceError: Kafka refuses us; all else may pass, and costs no more than what is new.
        """
        from kafka.errors import AuthorizationError, KafkaError

        assert self._consumer is not None
        try:
            for partition, records in poll_group(self._consumer, timeout_ms).items():
                for record in records:
                    self._apply(self._defined[partition], record)
            self._note_ends()
        except AuthorizationError as error:
            raise kafka_error(self._kafka, error) from error
        except KafkaError as error:
            log.warning("new streams wait, their topic can't be read: %s", error)
            time.sleep(timeout_ms / 1000)
        ours: dict[str, Defined] = {}
        for partition in self._consumer.assignment() & self._read:
            ours |= self._defined[partition]
        return ours

    def close(self) -> None:
        """Leaves the group, so that others take over at once. The cameras must be closed."""
        if self._consumer is not None:
            self._consumer.close()

    def _note_ends(self) -> None:
        assert self._consumer is not None
        if came := self._came - self._ends.keys():
            self._ends |= self._consumer.end_offsets(list(came))
        for partition in self._came & self._consumer.assignment():
            if self._consumer.position(partition) >= self._ends[partition]:
                self._read.add(partition)
        self._came -= self._read

    def _apply(self, defined: dict[str, Defined], record: "ConsumerRecord") -> None:
        stream = record.key.decode(errors="replace")
        defined.pop(stream, None)
        if record.value is None:
            return
        try:
            definition = parse_definition(StreamDefinition, record.value)
            if definition.id != stream:
                raise UsageError(f"its id is {definition.id!r}, its key is not")
        except UsageError as error:
            # Nothing is published rather than what was valid before: it may be the masks that we can't read.
            log.error("definition can't be used, nothing is published: %s", error, extra={"stream": stream})
            return
        if definition.managed:
            defined[stream] = Defined(definition, record.timestamp)

    def assigned(self, partitions: "Iterable[TopicPartition]") -> None:
        """From the group: these are ours now."""
        if self._lease:
            self._lease.ask_soon()
        self._came |= set(partitions)

    def revoked(self, partitions: "Iterable[TopicPartition]") -> None:
        """From the group: these go to others, when we return."""
        streams = [stream for partition in partitions for stream in self._defined.pop(partition, ())]
        for partition in partitions:
            self._ends.pop(partition, None)
            self._came.discard(partition)
            self._read.discard(partition)
        self._leave(streams)


def _listener(assignment: Assignment) -> object:
    # Made on use, for its base class is kafka-python's.
    from kafka import ConsumerRebalanceListener

    class Listener(ConsumerRebalanceListener):  # type: ignore[misc]
        def on_partitions_assigned(self, assigned: "list[TopicPartition]") -> None:
            assignment.assigned(assigned)

        def on_partitions_revoked(self, revoked: "list[TopicPartition]") -> None:
            assignment.revoked(revoked)

        def on_partitions_lost(self, lost: "list[TopicPartition]") -> None:
            assignment.revoked(lost)

    return Listener()
