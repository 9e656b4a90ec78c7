"""Membership of a group and what a poll brings, where kafka-python alone would lose it."""

import os
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import psutil
import pytest
from kafka import ConsumerRebalanceListener, KafkaAdminClient, TopicPartition
from kafka.protocol.consumer import DEFAULT_GENERATION_ID

from streamer.broker import (
    assign_from_beginning,
    connect_admin,
    connect_consumer,
    connect_producer,
    poll,
)
from streamer.group import Lease, poll_group, read_only
from streamer.settings import Settings
from streamer.stack import Addresses
from streamer.topics import topic_names
from tests.integration.test_strangers import NotUtf8
from tests.waiting import eventually


def test_a_rejoin_is_completed_by_polls_shorter_than_it(settings: Settings) -> None:
    topic = topic_names(settings.kafka).frames
    consumer = connect_consumer(settings.kafka, group_id=f"{topic}.group", metadata_max_age_ms=300)
    consumer.subscribe([topic])
    try:
        assert _assigned(consumer, 4) == 4
        admin: KafkaAdminClient = connect_admin(settings.kafka)
        admin.create_partitions({topic: 6})
        admin.close()
        assert _assigned(consumer, 6) == 6
    finally:
        consumer.close()


def test_a_join_that_ends_between_two_polls_is_not_begun_again(settings: Settings) -> None:
    topic = topic_names(settings.kafka).frames
    consumer = connect_consumer(settings.kafka, group_id=f"{topic}.group", group_instance_id="one")
    consumer.subscribe([topic])
    try:
        assert _assigned(consumer, 4) == 4
        before = consumer.group_metadata().generation_id
        consumer._coordinator.request_rejoin()
        deadline = time.monotonic() + 20
        while consumer.group_metadata().generation_id == before or consumer._coordinator._join_task is not None:
            assert time.monotonic() < deadline
            poll_group(consumer, 0)
            join = consumer._coordinator._join_task
            while join is not None and not getattr(join, "_join", join).is_done:
                assert time.monotonic() < deadline
                time.sleep(0.001)
        with closing(connect_producer(settings.kafka)) as producer:
            producer.send(topic, b"frame").get(timeout=20)
        # A member that joins once more does so before it fetches.
        eventually(lambda: poll_group(consumer, 100), "it reads")
        assert consumer.group_metadata().generation_id == before + 1
    finally:
        consumer.close()


def test_what_the_group_gave_is_ours_until_it_does_not_answer(stack: Addresses, settings: Settings) -> None:
    topic = topic_names(settings.kafka).frames
    kafka = settings.kafka.model_copy(update={"session_timeout_ms": 6000})
    consumer = connect_consumer(kafka, group_id=f"{topic}.group", heartbeat_interval_ms=1900)
    lease = Lease(consumer)
    consumer.subscribe([topic])
    try:
        assert not lease.holds
        _poll_until(consumer, lambda: lease.holds)
        with _hanging(stack.kafka):
            _poll_until(consumer, lambda: not lease.holds)
        _poll_until(consumer, lambda: lease.holds)
    finally:
        consumer.close()


def test_what_was_given_long_before_it_is_taken_in_is_not_ours(settings: Settings) -> None:
    """Others have it by then: a member that joined and then sends no heartbeats is put out."""
    topic, given, held = topic_names(settings.kafka).frames, threading.Event(), []
    kafka = settings.kafka.model_copy(update={"session_timeout_ms": 1000})
    late, other = (connect_consumer(kafka, group_id=f"{topic}.group") for _ in range(2))
    lease = Lease(late)

    class Given(ConsumerRebalanceListener):
        def on_partitions_assigned(self, assigned: list[TopicPartition]) -> None:
            lease.ask_soon()
            given.set()

        def on_partitions_revoked(self, revoked: list[TopicPartition]) -> None:
            pass

    try:
        late.subscribe([topic], listener=Given())
        _join_without_taking_in(late)
        other.subscribe([topic])
        assert _assigned(other, 4) == 4
        eventually(lambda: poll_group(late, 0) or given.is_set(), "it takes in what it was given")
        while late.group_metadata().generation_id != DEFAULT_GENERATION_ID:
            held.append(lease.holds)
            time.sleep(0.001)
        assert not any(held)
        while not lease.holds:  # a member again
            poll_group(late, 10)
            poll_group(other, 10)
    finally:
        late.close()
        other.close()


def test_the_first_heartbeat_does_not_wait_for_its_interval(settings: Settings) -> None:
    topic = topic_names(settings.kafka).frames
    kafka = settings.kafka.model_copy(update={"session_timeout_ms": 600_000})
    with closing(connect_consumer(kafka, group_id=f"{topic}.group")) as consumer:
        lease = Lease(consumer)
        consumer.subscribe([topic])
        assert _assigned(consumer, 4) == 4
        assert not lease.holds
        lease.ask_soon()
        eventually(lambda: lease.holds, "it is asked for at once")


def _join_without_taking_in(consumer) -> None:
    """Until the coordinator has answered; the next poll takes in what it gave."""
    coordinator, deadline = consumer._coordinator, time.monotonic() + 20
    while True:
        assert time.monotonic() < deadline
        join = coordinator._join_task
        done = join is None or getattr(join, "_join", join).is_done
        if done and consumer.group_metadata().generation_id != DEFAULT_GENERATION_ID:
            return
        if done:  # not begun, or it only told us our name
            poll_group(consumer, 0)
        time.sleep(0.001)


def _poll_until(consumer, done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not done():
        assert time.monotonic() < deadline
        poll_group(consumer, 10)


def test_polls_wait_while_the_broker_hangs(
    stack: Addresses, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = topic_names(settings.kafka).frames
    consumer = connect_consumer(settings.kafka, group_id=f"{topic}.group", heartbeat_interval_ms=100)
    consumer.subscribe([topic])
    try:
        assert _assigned(consumer, 4) == 4
        rounds, once = [], consumer._poll_once
        monkeypatch.setattr(consumer, "_poll_once", lambda *args, **named: rounds.append(1) or once(*args, **named))
        with _hanging(stack.kafka):
            for _ in range(20):
                poll_group(consumer, 100)
        assert len(rounds) < 100
    finally:
        consumer.close()


def test_what_was_fetched_of_a_partition_before_it_was_paused_comes_when_it_is_resumed(settings: Settings) -> None:
    topic = topic_names(settings.kafka).frames
    with closing(connect_producer(settings.kafka)) as producer:
        for number in range(20):
            producer.send(topic, b"%d" % number, partition=number % 2)
        producer.flush()
    first, second = (TopicPartition(topic, number) for number in range(2))
    with closing(connect_consumer(settings.kafka)) as consumer:
        assign_from_beginning(consumer, [first, second])
        consumer.pause(second)
        assert _values(consumer, first, 5, max_records=5) == [b"0", b"2", b"4", b"6", b"8"]
        consumer.pause(first)
        consumer.resume(second)
        assert len(_values(consumer, second, 10)) == 10
        consumer.resume(first)
        assert _values(consumer, first, 5) == [b"10", b"12", b"14", b"16", b"18"]


def test_a_resumed_partition_has_its_turn_beside_two_that_have_a_backlog(settings: Settings) -> None:
    topic, at_once, fetches = topic_names(settings.kafka).frames, 100, 6
    resumed, *others = (TopicPartition(topic, number) for number in range(3))
    with closing(connect_producer(settings.kafka, linger_ms=1000, batch_size=60_000)) as producer:
        for fetch in range(fetches):
            for number in range(3 * at_once):
                producer.send(topic, b"%099d" % (fetch * at_once + number // 3), partition=number % 3)
            producer.flush()
    # One batch of each partition is fetched at once, and a poll's records are those of one and a part of another.
    with closing(connect_consumer(settings.kafka, max_partition_fetch_bytes=15_000, max_poll_records=64)) as consumer:
        assign_from_beginning(consumer, [resumed, *others])
        found = defaultdict(list)

        def poll_once() -> None:
            for partition, records in poll(consumer, 1000).items():
                found[partition] += [int(record.value) for record in records]
            eventually(lambda: not consumer._fetcher.in_flight_fetches(), "the broker answers")

        read_only(consumer, {resumed})
        poll(consumer, 10_000, max_records=5)
        read_only(consumer, set(others))
        for _ in range(4):
            poll_once()
        read_only(consumer, consumer.assignment())
        while not found[resumed]:
            poll_once()
        assert sum(len(found[other]) for other in others) < at_once * fetches
        while sum(map(len, found.values())) < 3 * at_once * fetches - 5:
            poll_once()
        assert found[resumed] == list(range(5, at_once * fetches))
        assert all(found[other] == list(range(at_once * fetches)) for other in others)


def test_a_record_that_can_t_be_read_is_stepped_over_also_behind_a_pause(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    where = TopicPartition(topic_names(settings.kafka).frames, 0)
    with closing(connect_producer(settings.kafka)) as producer:
        _put(producer, where, b"before")
        _put_unreadable(producer, where)
        _put(producer, where, b"behind")
    with closing(connect_consumer(settings.kafka)) as consumer:
        assign_from_beginning(consumer, [where])
        # One poll reads the first and fails at the second, which the next one would say.
        assert _values(consumer, where, 1) == [b"before"]
        read_only(consumer, set())
        assert not poll(consumer, 0)
        read_only(consumer, {where})
        assert _values(consumer, where, 1) == [b"behind"]
    assert caplog.text.count("can't be read") == caplog.text.count("offset 1 can't be read") == 1


def test_a_record_that_can_t_be_read_is_stepped_over_also_behind_the_end_of_a_transaction(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    where = TopicPartition(topic_names(settings.kafka).frames, 0)
    with closing(connect_producer(settings.kafka, transactional_id=where.topic)) as producer:
        producer.init_transactions()
        producer.begin_transaction()
        _put(producer, where, b"before")
        producer.commit_transaction()  # its marker has an offset, too
    with closing(connect_producer(settings.kafka)) as producer:
        _put_unreadable(producer, where)
        _put(producer, where, b"behind")
    with closing(connect_consumer(settings.kafka)) as consumer:
        consumer.assign([where])
        consumer.seek(where, 1)
        assert _values(consumer, where, 1) == [b"behind"]
    assert caplog.text.count("can't be read") == caplog.text.count("offset 2 can't be read") == 1


def _put(producer, where: TopicPartition, value: bytes, **options: Any) -> None:
    producer.send(where.topic, value, partition=where.partition, **options).get(timeout=20)


def _put_unreadable(producer, where: TopicPartition) -> None:
    _put(producer, where, b"", headers=[(NotUtf8("name"), b"")])


def _values(consumer, partition: TopicPartition, wanted: int, **options: int) -> list[bytes]:
    values: list[bytes] = []
    deadline = time.monotonic() + 10
    while len(values) < wanted and time.monotonic() < deadline:
        polled = poll(consumer, 100, **options)
        assert polled.keys() <= {partition}
        values += [record.value for record in polled.get(partition, ())]
    return values


@contextmanager
def _hanging(address: str) -> Iterator[None]:
    """The server that listens there takes connections, and doesn't answer."""
    port = int(address.rpartition(":")[2])
    [pid] = {
        one.pid for one in psutil.net_connections("tcp") if one.status == psutil.CONN_LISTEN and one.laddr.port == port
    }
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _assigned(consumer, wanted: int, timeout_s: float = 15) -> int:
    """How many partitions are assigned and can be fetched from, polled as often and briefly as can be."""
    deadline = time.monotonic() + timeout_s
    found = 0
    while time.monotonic() < deadline and found != wanted:
        poll_group(consumer, 0)
        found = sum(consumer._subscription.is_fetchable(partition) for partition in consumer.assignment())
    return found
