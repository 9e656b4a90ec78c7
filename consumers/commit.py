"""Results, gaps, dead frames and offsets of a batch in one Kafka transaction.

What may go wrong, and what is done: an error before the commit aborts, and the batch is tried again; after an
error whose outcome is unknown a new producer with the same transactional id first makes the old transaction
end one way or the other, and then the group's committed offsets tell which way it was.

kafka-python (3.0.12) commits without a record that failed, and calls a transaction committed that the broker has
aborted, if its producer took a new epoch meanwhile. Both begin with a record that fails: so each is looked at before.
"""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from consumers.entry import Batch, Row
from consumers.faults import Fault, judge
from consumers.ledger import Ledger
from consumers.poison.dead import dead_record
from consumers.state import state_key
from consumers.telemetry import metrics
from consumers.telemetry.counting import count
from streamer.broker import (
    abandon,
    commit_transaction,
    connect_admin,
    connect_producer,
    kafka_error,
    send_offsets,
    together,
)
from streamer.errors import ServiceError
from streamer.moments import unix_ms
from streamer.retry import Retry
from streamer.settings import Settings
from streamer.topics import topic_names

if TYPE_CHECKING:
    from kafka import KafkaProducer
    from kafka.producer.future import FutureRecordMetadata

log = logging.getLogger(__name__)

Committed = Callable[[list[Row], bool], None]
PlainCommit = Callable[[dict[int, tuple[int, str]]], None]
Follow = Callable[[Batch], None]
# A transaction costs 5 to 9 ms of CPU whatever is in it: more than _FEW results within an interval share one for up
# to _STRETCH intervals, and where nobody waits (files read at full speed) for _PATIENT_S.
_FEW = 3
_STRETCH = 4
_PATIENT_S = 3.0
_RETRY_S = 0.2
_RETRY_MOST_S = 5.0
_LOOK_S = 0.1  # for another record's failure
_ANSWER_S = 5.0  # for a request of a transaction, from which a new producer starts over


class Committer(threading.Thread):
    """The thread that owns the transactional producer.

    follow gets each batch once, in order, before its records are written. after_commit gets the rows in order, once
    each, and whether it is certain that they are the ones that were committed; plain_commit gets the offsets when
    transactions are off. failed: the error that ended the thread. trouble: why a batch is tried again.
    """

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        follow: Follow,
        after_commit: Committed,
        plain_commit: PlainCommit,
        instance: str,
    ) -> None:
        super().__init__(name="commit", daemon=True)
        self._settings, self._ledger = settings, ledger
        self._follow, self._after_commit, self._plain_commit = follow, after_commit, plain_commit
        self._names = topic_names(settings.kafka)
        self._group = self._names.worker_group(settings.detect.pipeline)
        self._id = f"{self._group}.{instance}"
        self._stop_event = threading.Event()
        self._producer: KafkaProducer | None = None
        self._metrics = {name: metrics.COMMITS.labels(settings.detect.pipeline, name) for name in ("done", "aborted")}
        self._time = metrics.COMMIT_TIME.labels(settings.detect.pipeline)
        self.failed: BaseException | None = None
        self.trouble: str | None = None

    def open(self) -> None:
        """Connects and fences whoever had this transactional id before.

        Raises:
            ServiceError: Kafka is out of reach or refuses us.
        """
        from kafka.errors import KafkaError

        detect = self._settings.detect
        options: dict[str, Any] = {
            "linger_ms": 0 if detect.transactions else 5,
            "batch_size": 1 << 20,
            "max_request_size": self._settings.topics.max_record_bytes + (1 << 20),
            # A transaction may meet the end of the one before, and tries again after so long. It is also how often the
            # client's thread looks around while a request of a transaction is under way.
            "retry_backoff_ms": 10,
            "request_timeout_ms": 5_000,
            "delivery_timeout_ms": 10_000,
            "max_block_ms": 10_000,
        }
        if detect.transactions:
            options |= {"transactional_id": self._id, "transaction_timeout_ms": detect.transaction_timeout_ms}
        self._producer = connect_producer(self._settings.kafka, **options)
        if detect.transactions:
            try:
                self._producer.init_transactions()
            except KafkaError as error:
                self._drop_producer()
                raise ServiceError(f"Kafka does not let us use transactional id {self._id}: {error}") from None

    def stop(self) -> None:
        """After everything that may be committed now is; to be called once all partitions are given up."""
        self._stop_event.set()
        self._ledger.press()

    def run(self) -> None:
        """Until stopped."""
        try:
            while not (self._stop_event.is_set() and not self._ledger.wait(0)):
                if self._ledger.wait(0.1):
                    self._one()
        except Exception as error:
            # The edge of a thread: the worker sees it and leaves.
            log.exception("committing failed")
            self.failed = error
        finally:
            self._drop_producer()

    def _one(self) -> None:
        began = time.monotonic()
        batch = self._ledger.collect(unix_ms())
        if batch is None:
            return
        self._follow(batch)
        batch.rows = [Row(partition, record, record.to_json()) for partition, record in (*batch.records, *batch.events)]
        certain, self.trouble = self._write(batch), None
        # Before the batch's partitions can be given up: behind that, nothing of them is taken.
        self._after_commit(batch.rows, certain)
        self._ledger.settle()
        self._time.observe(time.monotonic() - began)
        count(batch, self._settings.detect.pipeline)
        self._pause(batch, time.monotonic() - began)

    def _pause(self, batch: Batch, spent_s: float) -> None:
        """A pause rather than a delay: a lone result leaves at once, many leave together."""
        if self._stop_event.is_set():
            return
        if batch.patient:
            self._ledger.urgent.wait(max(0.0, _PATIENT_S - spent_s))
            return
        interval_s = self._settings.detect.commit_interval_ms / 1000
        interval_s *= min(max(len(batch.records) / _FEW, 1), _STRETCH)
        self._ledger.pressing.wait(max(0.0, interval_s - spent_s))

    def _write(self, batch: Batch) -> bool:
        """Returns when the batch is committed, or belongs to somebody else.

        False: its offsets are committed, but by whom wasn't heard: a worker that was frozen may have a successor.
        """
        from kafka.errors import KafkaError

        tries = Retry(_RETRY_S, _RETRY_MOST_S, self._settings.detect.retry_timeout_s)
        while True:
            try:
                if self._producer is None:
                    self.open()
                    if self._settings.detect.transactions and self._is_committed(batch):
                        return False
                self._attempt(batch)
                self._metrics["done"].inc()
                return True
            except (KafkaError, ServiceError) as error:
                self._metrics["aborted"].inc()
                self._drop_producer()
                taken = judge(error) is Fault.TAKEN or not self._still_ours(batch)
                if taken or self._wait_out(error, tries):
                    log.warning("a batch of %d frames belongs to another worker now: %s", len(batch.entries), error)
                    batch.rows.clear()
                    batch.dead.clear()
                    return True

    def _wait_out(self, error: Exception, tries: Retry) -> bool:
        """Returns whether we were told to stop meanwhile: by then all partitions are given up."""
        wait_s = None if judge(error) is Fault.LASTING else tries.failed()
        if wait_s is None:
            raise kafka_error(self._settings.kafka, error)
        self.trouble = f"results can't be committed: {error}"
        log.warning("commit failed, trying again in %.1f s: %s", wait_s, error)
        return self._stop_event.wait(wait_s)

    def _still_ours(self, batch: Batch) -> bool:
        return all(not entry.abandoned for entry in batch.entries)

    def _attempt(self, batch: Batch) -> None:
        from kafka import TopicPartition
        from kafka.structs import OffsetAndMetadata

        assert self._producer is not None
        if not self._settings.detect.transactions:
            self._attempt_plain(batch)
            return
        self._producer.begin_transaction()
        futures = self._send(batch)
        offsets = {
            TopicPartition(self._names.frames, number): OffsetAndMetadata(offset, text, -1)
            for number, (offset, text) in batch.offsets.items()
        }
        send_offsets(self._producer, offsets, batch.membership, _ANSWER_S)
        _wait_for_all(futures)
        commit_transaction(self._producer, _ANSWER_S)

    def _attempt_plain(self, batch: Batch) -> None:
        assert self._producer is not None
        futures = self._send(batch)
        _wait_for_all(futures)
        self._plain_commit(batch.offsets)

    def _send(self, batch: Batch) -> list["FutureRecordMetadata"]:
        assert self._producer is not None
        topics = {"detections": self._names.detections, "events": self._names.events}
        for topic in (*topics.values(), self._names.state):
            self._producer.partitions_for(topic)  # its metadata, for which the first time is waited
        with together(self._producer):
            futures = [
                # That of the frame, so that who takes a partition over finds its results on the same one.
                self._producer.send(
                    topics[row.channel.log], row.value, row.record.stream.encode(), partition=row.partition
                )
                for row in batch.rows
            ]
            for (partition, stream), state in batch.states.items():
                key = state_key(self._settings.detect.pipeline, stream)
                futures.append(self._producer.send(self._names.state, state, key, partition=partition))
        for entry in batch.dead:
            key, value, headers = dead_record(
                entry, self._settings.detect.pipeline, self._settings.topics.max_record_bytes
            )
            futures.append(self._producer.send(self._names.dead, value, key, headers=headers))
        return futures

    def _is_committed(self, batch: Batch) -> bool:
        """Whether a transaction whose end was not heard of was committed: it was, or it wasn't, as a whole."""
        from kafka import TopicPartition

        admin = connect_admin(self._settings.kafka)
        try:
            offsets = admin.list_group_offsets({self._group: None})[self._group]
        finally:
            admin.close()
        number, (offset, _) = next(iter(batch.offsets.items()))
        committed = offsets.get(TopicPartition(self._names.frames, number))
        return committed is not None and committed.offset >= offset

    def _drop_producer(self) -> None:
        if self._producer is not None:
            # Nothing to wait for: what is in it is either committed or sent again.
            abandon(self._producer)
            self._producer = None


def _wait_for_all(futures: list["FutureRecordMetadata"]) -> None:
    """Until all records are acknowledged; raises the first failure at once, whichever record it is of."""
    from kafka.errors import KafkaTimeoutError

    failures: list[Exception] = []
    for future in futures:
        future.add_errback(failures.append)
    for future in futures:
        while not (future.is_done or failures):
            with suppress(KafkaTimeoutError):
                future.get(timeout=_LOOK_S)
        if failures:
            raise failures[0]
        future.get(timeout=0)
