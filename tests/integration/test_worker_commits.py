"""A worker whose commits fail, of unknown end, in part or for a while: each result is there once all the same."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from kafka import KafkaConsumer
from kafka.errors import (
    InvalidProducerEpochError,
    KafkaConnectionError,
    KafkaTimeoutError,
    NotCoordinatorError,
    TopicAuthorizationFailedError,
)
from kafka.net.compat import KafkaNetClient
from kafka.producer.sender import Sender
from kafka.producer.transaction_manager import TransactionManager

from consumers.commit import Committer
from consumers.entry import Batch
from consumers.intake import Intake
from streamer.errors import StreamerError
from streamer.records import EndHeader, FrameId
from tests.integration.worker_rig import Rig, changed, ends, header, outline, running, wait_until


@pytest.mark.parametrize("committed", [True, False])
def test_a_transaction_of_unknown_end_is_neither_lost_nor_repeated(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, committed: bool
) -> None:
    attempt, failures = Committer._attempt, iter([True, True])

    def failing(self: Committer, batch: Batch) -> None:
        fails = next(failures, False)
        if committed or not fails:
            attempt(self, batch)
        if fails:
            raise KafkaTimeoutError("the broker's answer did not come")

    monkeypatch.setattr(Committer, "_attempt", failing)
    rig.define("a")
    with running(rig.settings):
        rig.put_run("a", 12)
        rows = rig.whole("a")
    assert outline(rows, "a") == [*map(str, range(12)), "12 end"]


def test_a_coordinator_that_fails_for_a_while_is_asked_again(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    restore, failures = Intake._restore, iter([NotCoordinatorError(), KafkaTimeoutError("no answer")])

    def failing(self: Intake, *arguments: Any) -> None:
        for error in failures:
            raise error
        restore(self, *arguments)

    monkeypatch.setattr(Intake, "_restore", failing)
    rig.define("a")
    with running(rig.settings):
        rig.put_run("a", 5)
        rows = rig.detections(ends("a"))
    assert outline(rows, "a") == [*map(str, range(5)), "5 end"]


@pytest.mark.parametrize(
    ("error", "message"),
    [(KafkaTimeoutError("no answer"), "no answer"), (TopicAuthorizationFailedError("x"), "no right to topic x")],
)
def test_a_worker_that_can_not_commit_ends(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, error: Exception, message: str
) -> None:
    def failing(self: Committer, batch: Batch) -> None:
        raise error

    monkeypatch.setattr(Committer, "_attempt", failing)
    rig.define("a")
    rig.put(header("a", 0))
    with (
        pytest.raises(StreamerError, match=f"commit failed: .*{message}"),
        running(changed(rig.settings, retry_timeout_s=0.5)) as worker,
    ):
        wait_until(lambda: worker.not_ready == "stopping")


@pytest.mark.parametrize("forgotten", ["AddOffsetsToTxnHandler", "TxnOffsetCommitHandler", "EndTxnHandler"])
def test_a_request_that_kafka_python_forgets_is_not_waited_for_for_ever(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, forgotten: str
) -> None:
    """As when a broker dies between the answer to one request of a transaction and the sending of the next."""
    take, ready = TransactionManager.next_request_handler, KafkaNetClient.await_ready
    taken, failures = [""], iter([True])

    def taking(self: TransactionManager, has_incomplete_batches: bool) -> Any:
        handler = take(self, has_incomplete_batches)
        taken[0] = type(handler).__name__
        return handler

    def broken(self: KafkaNetClient, node_id: Any, timeout_ms: int = 30_000) -> Any:
        if taken[0] == forgotten and next(failures, False):
            raise KafkaConnectionError("refused")
        return ready(self, node_id, timeout_ms)

    monkeypatch.setattr(TransactionManager, "next_request_handler", taking)
    monkeypatch.setattr(KafkaNetClient, "await_ready", broken)
    monkeypatch.setattr("consumers.commit._ANSWER_S", 1.0)
    rig.define("a")
    with running(rig.settings):
        rig.put_run("a", 12)
        rows = rig.whole("a")
    assert outline(rows, "a") == [*map(str, range(12)), "12 end"]
    assert not next(failures, False)


def never_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first batch of results expires before it is sent, as in an outage of more than the delivery timeout."""
    create, failures = Sender._create_produce_requests, iter([True])

    def failing(self: Sender, by_node: dict[str, list[Any]]) -> Any:
        for batches in by_node.values():
            for batch in [one for one in batches if one.topic_partition.topic.endswith("detections")]:
                if next(failures, False):
                    batches.remove(batch)
                    self._can_retry = lambda *_: False
                    self._complete_batch_with_exception(batch, KafkaTimeoutError("expired"))
        return create(self, {node: batches for node, batches in by_node.items() if batches})

    monkeypatch.setattr(Sender, "_create_produce_requests", failing)


def aborted_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """The broker has given the first transaction up when its results come, as after a freeze: a new epoch begins."""
    complete, failures = Sender._complete_batch, iter([True])

    def failing(self: Sender, batch: Any, response: Any) -> None:
        if batch.topic_partition.topic.endswith("detections") and next(failures, False):
            self._complete_batch_with_exception(batch, InvalidProducerEpochError("given up"))
        else:
            complete(self, batch, response)

    monkeypatch.setattr(Sender, "_complete_batch", failing)


def test_redis_takes_from_the_log_what_another_worker_may_have_committed(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a freeze, in which the successor has come as far, with records of its own."""
    attempt, failures = Committer._attempt, iter([True])

    def beaten(self: Committer, batch: Batch) -> None:
        attempt(self, batch)
        if next(failures, False):
            batch.rows = [replace(row, value=row.value.replace(b"thing", b"mine!")) for row in batch.rows]
            raise KafkaTimeoutError("the broker's answer did not come")

    monkeypatch.setattr(Committer, "_attempt", beaten)
    rig.define("a")
    with running(rig.settings):
        rig.put_run("a", 12)
        rig.whole("a")


@pytest.mark.parametrize("fail", [never_sent, aborted_meanwhile])
def test_a_transaction_is_not_committed_without_one_of_its_records(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, fail: Callable[[pytest.MonkeyPatch], None]
) -> None:
    fail(monkeypatch)
    rig.define("a")
    with running(rig.settings):
        rig.put_run("a", 12)
        rows = rig.whole("a")
    assert outline(rows, "a") == [*map(str, range(12)), "12 end"]


def test_at_least_once_without_transactions(rig: Rig) -> None:
    rig.define("a")
    plain = changed(rig.settings, transactions=False)
    with running(plain):
        for sequence in range(10):
            rig.put(header("a", sequence))
        rig.detections(lambda rows: len(rows) == 10)
    with running(plain):
        rig.put(header("a", 10))
        rig.put(EndHeader("a", FrameId(1, 11), 1))
        rows = rig.detections(ends("a"))
    assert outline(rows, "a") == [*map(str, range(11)), "11 end"]


def test_without_transactions_a_take_over_between_living_workers_repeats_nothing(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if no offset was committed by then."""
    monkeypatch.setattr(KafkaConsumer, "commit_async", lambda *_, **__: None)
    plain = changed(rig.settings, transactions=False)
    streams = [f"s{number}" for number in range(8)]
    rig.define(*streams)
    with running(plain, "one"):
        for stream in streams:
            for sequence in range(5):
                rig.put(header(stream, sequence))
        rig.detections(lambda rows: len(rows) == 40)
        with running(plain, "two") as second:
            wait_until(lambda: second._ledger.owns(0) or second._ledger.owns(1) or second._ledger.owns(2))
            for stream in streams:
                rig.put(header(stream, 5))
                rig.put(EndHeader(stream, FrameId(1, 6), 1))
            rows = rig.detections(ends(*streams))
    for stream in streams:
        assert outline(rows, stream) == [*map(str, range(6)), "6 end"]


def test_without_transactions_offsets_whose_commit_fails_are_committed_again(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    send, failures = KafkaConsumer.commit_async, iter([True])
    acknowledged: list[object] = []

    def failing(self: KafkaConsumer, offsets: Any, callback: Callable[[Any, Any], None]) -> None:
        if next(failures, False):
            callback(offsets, NotCoordinatorError())
        else:
            send(self, offsets, lambda *answer: (callback(*answer), acknowledged.append(answer[1])))

    monkeypatch.setattr(KafkaConsumer, "commit_async", failing)
    rig.define("a")
    with running(changed(rig.settings, transactions=False)) as worker:
        rig.put(header("a", 0))
        wait_until(lambda: acknowledged)
        assert not next(failures, False)
        assert worker._intake.plain_offsets.is_empty
