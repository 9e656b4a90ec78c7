"""Reading topic `state`: what was last committed of each stream, beyond its last record."""

import threading
from collections.abc import Collection
from typing import TYPE_CHECKING

from streamer.broker import LITTLE_AT_ONCE, connect_consumer, poll
from streamer.lifecycle import Deadline
from streamer.settings import Settings
from streamer.topics import topic_names

if TYPE_CHECKING:
    from kafka import KafkaConsumer, TopicPartition

_DECIDED_S = 15.0  # a worker's own transactions are given up sooner, see detect.transaction_timeout_ms
_STUCK_S = 15.0
_LOOK_S = 0.02
_STEP = 500  # records; streams write several times a second, so the newest of each are near the end


def state_key(pipeline: str, stream: str) -> bytes:
    """Key of a stream's records on topic `state`."""
    return f"{pipeline}/{stream}".encode()


class StateReader:
    """Connects on the first use. Belongs to one thread. stopping: ends what is under way."""

    def __init__(self, settings: Settings, stopping: threading.Event) -> None:
        self._settings, self._pipeline = settings, settings.detect.pipeline
        self._topic, self._stopping = topic_names(settings.kafka).state, stopping
        self._consumer: KafkaConsumer | None = None
        self._undecided: KafkaConsumer | None = None  # sees what is not committed, too

    def close(self) -> None:
        """Ends the connections."""
        for consumer in (self._consumer, self._undecided):
            if consumer is not None:
                consumer.close()

    def load(self, partition: int, streams: Collection[str]) -> dict[str, bytes]:
        """The newest committed state of each of the streams that has one.

        Read from the end backwards, in growing steps: most of what a compacted topic holds is outdated.

        Raises:
            KafkaError: the topic can't be read, a transaction on it does not come to an end, or we are to stop.
        """
        from kafka import TopicPartition

        wanted = {state_key(self._pipeline, stream): stream for stream in streams}
        if not wanted:
            return {}
        if self._consumer is None:
            self._consumer = connect_consumer(self._settings.kafka, **LITTLE_AT_ONCE)
        where = TopicPartition(self._topic, partition)
        self._consumer.assign([where])
        begin = self._consumer.beginning_offsets([where])[where]
        stop = self._decided_end(where)
        found: dict[bytes, bytes | None] = {}
        step = _STEP
        while stop > begin and wanted.keys() - found.keys():
            start = max(begin, stop - step)
            newer = self._read(where, start, stop)
            found = {key: value for key, value in newer.items() if key in wanted} | found
            stop, step = start, step * 4
        return {wanted[key]: value for key, value in found.items() if value is not None}

    def _decided_end(self, where: "TopicPartition") -> int:
        """The end of the log, once every transaction is over that has written before it.

        A transaction ends with a mark on each partition, written one by one. The group's offsets are given out as
        soon as they have theirs: the state that was committed with them may still be waiting for its own.
        """
        assert self._consumer is not None
        if self._undecided is None:
            self._undecided = connect_consumer(self._settings.kafka, isolation_level="read_uncommitted")
        written = self._undecided.end_offsets([where])[where]
        deadline = Deadline(_DECIDED_S)
        while (end := int(self._consumer.end_offsets([where])[where])) < written:
            self._go_on(deadline, f"a transaction on {where.topic} is not over after {_DECIDED_S:g} s")
            self._stopping.wait(_LOOK_S)
        return end

    def _read(self, where: "TopicPartition", start: int, stop: int) -> dict[bytes, bytes | None]:
        """The newest value of each key between two offsets."""
        assert self._consumer is not None
        self._consumer.seek(where, start)
        newest: dict[bytes, bytes | None] = {}
        stuck = Deadline(_STUCK_S)
        # The position, not the records, tells the end: compaction leaves holes, and transactions end with a mark.
        while self._consumer.position(where) < stop:
            # In an outage a poll brings nothing, and raises nothing.
            self._go_on(stuck, f"topic {where.topic} gives no records for {_STUCK_S:g} s")
            for record in poll(self._consumer, 100).get(where, []):
                stuck = Deadline(_STUCK_S)
                if record.offset < stop:
                    newest[record.key] = record.value
        return newest

    def _go_on(self, deadline: Deadline, otherwise: str) -> None:
        from kafka.errors import KafkaError, KafkaTimeoutError

        if self._stopping.is_set():
            raise KafkaError(f"told to stop while topic {self._topic} is read")
        if deadline.passed:
            raise KafkaTimeoutError(otherwise)
