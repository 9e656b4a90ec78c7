"""A worker whose Redis is emptied, comes late, refuses it or holds what is somebody else's."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import SecretStr
from redis import ConnectionError

from streamer.broker import connect_producer
from streamer.errors import ServiceError
from streamer.mirror import Keys, connect_redis
from streamer.records import EndHeader, FrameId
from streamer.stack.ports import free_ports
from streamer.stack.process import launch, stop
from streamer.stack.redis_server import find_redis
from streamer.topics import partition_of, topic_names
from tests.integration.worker_rig import Rig, ends, header, running, wait_until


@pytest.mark.parametrize("restarted", [True, False])
def test_an_emptied_redis_fills_itself_from_the_log(rig: Rig, restarted: bool) -> None:
    rig.define("a")
    keys = Keys(rig.settings.redis.prefix)
    with running(rig.settings):
        for sequence in range(10):
            rig.put(header("a", sequence))
        wait_until(lambda: len(rig.mirrored("a")) == 10)
        client = connect_redis(rig.settings.redis)
        client.delete(keys.detections("main", "a"))
        if restarted:
            client.script_flush()  # has forgotten scripts, too
        client.close()
        rig.put(header("a", 10))
        rig.put(EndHeader("a", FrameId(1, 11), 1))
        assert len(rig.whole("a")) == 12


def test_an_emptied_redis_gets_back_what_nothing_is_written_to_now(rig: Rig) -> None:
    streams = [f"s{number}" for number in range(4)]  # on more than one partition
    rig.define(*streams, track=True)
    with running(rig.settings):
        for stream in streams:
            for sequence in range(6):
                rig.put(header(stream, sequence, source_time=sequence / 10))
        rows = rig.detections(lambda rows: len(rows) == 24)
        events = rig.events(lambda rows: len(rows) == 4)
        held = rows + events
        wait_until(lambda: _everything(rig, streams) == by_id(held))
        with connect_redis(rig.settings.redis) as client:
            client.delete(*client.keys(f"{rig.settings.redis.prefix}*"))
        rig.put(header("s0", 6, source_time=0.6))
        held += [row for row in rig.detections(lambda rows: len(rows) == 25) if row not in rows]
        wait_until(lambda: _everything(rig, streams) == by_id(held))


def by_id(rows: list[Any]) -> list[Any]:
    """In an order of their own."""
    return sorted(rows, key=lambda row: (row["kind"], row.get("sensorId") or row["sensor"]["id"], row["id"]))


def _everything(rig: Rig, streams: list[str]) -> list[Any]:
    return by_id([row for stream in streams for row in (*rig.mirrored(stream), *rig.mirrored_events(stream))])


@contextmanager
def listening(rig: Rig) -> Iterator[Callable[[], list[int]]]:
    """What has come on the channel of live records of stream a: their numbers so far."""
    heard: list[int] = []
    with connect_redis(rig.settings.redis) as client, client.pubsub(ignore_subscribe_messages=True) as channel:
        channel.subscribe(Keys(rig.settings.redis.prefix).live("main", "a"))
        channel.get_message(timeout=5)  # subscribed

        def so_far() -> list[int]:
            while message := channel.get_message(timeout=0.05):
                heard.append(orjson.loads(message["data"])["sequence"])
            return heard

        yield so_far


def emptied(rig: Rig) -> None:
    with connect_redis(rig.settings.redis) as client:
        client.delete(*client.keys(f"{rig.settings.redis.prefix}*"))


def test_who_listens_hears_each_record_once_also_when_an_emptied_redis_fills_itself(rig: Rig) -> None:
    rig.define("a")
    with listening(rig) as heard:
        with running(rig.settings):
            for sequence in range(10):
                rig.put(header("a", sequence))
            wait_until(lambda: len(heard()) == 10)
            emptied(rig)
            rig.put(header("a", 10))
            wait_until(lambda: len(rig.mirrored("a")) == 11)
            wait_until(lambda: 10 in heard())
        emptied(rig)
        with running(rig.settings, "successor"):
            wait_until(lambda: len(rig.mirrored("a")) == 11)
            rig.put(header("a", 11))
            wait_until(lambda: 11 in heard())
        assert heard() == list(range(12))
        with connect_redis(rig.settings.redis) as client:
            latest: Any = client.get(Keys(rig.settings.redis.prefix).latest("main", "a"))
        assert orjson.loads(latest)["sequence"] == 11


def test_what_was_committed_while_redis_was_away_is_heard_when_it_is_back(rig: Rig) -> None:
    rig.define("a")
    with listening(rig) as heard:
        with running(rig.settings):
            rig.put(header("a", 0))
            wait_until(lambda: heard() == [0])
        away = rig.settings.redis.model_copy(update={"url": f"redis://127.0.0.1:{free_ports((0,))[0]}/0"})
        with running(rig.settings.model_copy(update={"redis": away}), "without"):
            rig.put(header("a", 1))
            rig.put(header("a", 2))
            rig.detections(lambda rows: len(rows) == 3)
        with running(rig.settings, "with"):
            wait_until(lambda: heard() == [0, 1, 2])


@contextmanager
def transaction_of_somebody_else(rig: Rig, partition: int) -> Iterator[None]:
    """Open within, given up behind it: no reader of `detections` is given what is committed to the partition there."""
    name = f"{rig.settings.kafka.topic_prefix}somebody-else"
    producer = connect_producer(rig.settings.kafka, transactional_id=name)
    try:
        producer.init_transactions()
        producer.begin_transaction()
        producer.send(topic_names(rig.settings.kafka).detections, b"{}", partition=partition).get(timeout=20)
        yield
        producer.abort_transaction()
    finally:
        producer.close(timeout=5)


def test_a_repair_waits_for_what_can_t_be_read_yet_and_holds_up_no_other_partition(rig: Rig) -> None:
    rig.define("s0", "s1")
    held, other = (partition_of(stream, rig.settings.topics.partitions) for stream in ("s0", "s1"))
    assert held != other
    sequence = 5
    with running(rig.settings):
        for number in range(sequence):
            rig.put(header("s0", number))
            rig.put(header("s1", number))
        wait_until(lambda: len(rig.mirrored("s0")) == len(rig.mirrored("s1")) == sequence)
        with transaction_of_somebody_else(rig, held):
            with connect_redis(rig.settings.redis) as client:
                client.delete(Keys(rig.settings.redis.prefix).detections("main", "s0"))
            until = time.monotonic() + 5  # longer than a repair waits for transactions that end
            while time.monotonic() < until:
                rig.put(header("s0", sequence))
                rig.put(header("s1", sequence))
                sequence += 1
                wait_until(lambda count=sequence: len(rig.mirrored("s1")) == count)
            mirrored = [row["sequence"] for row in rig.mirrored("s0")]
            assert mirrored == list(range(len(mirrored)))
        rows = rig.detections(lambda rows: len(rows) == 2 * sequence)
        wait_until(lambda: rig.mirrored("s0") == [row for row in rows if row["sensorId"] == "s0"])


def test_what_lies_in_the_place_of_one_stream_in_redis_holds_up_no_other(rig: Rig) -> None:
    streams = [f"s{n}" for n in range(4)]
    rig.define(*streams)
    with connect_redis(rig.settings.redis) as client:
        client.set(Keys(rig.settings.redis.prefix).detections("main", "s1"), "somebody else's")
    with running(rig.settings):
        for stream in streams:
            rig.put_run(stream, 10)
        rows = rig.detections(ends(*streams))
        for stream in set(streams) - {"s1"}:
            wait_until(lambda stream=stream: rig.mirrored(stream) == [r for r in rows if r["sensorId"] == stream])


def test_a_worker_starts_without_its_redis_and_fills_it_when_it_comes(rig: Rig, tmp_path: Path) -> None:
    (port,) = free_ports((0,))
    address = rig.settings.redis.model_copy(update={"url": f"redis://127.0.0.1:{port}/0"})
    rig.settings = rig.settings.model_copy(update={"redis": address})
    rig.define("a")
    with running(rig.settings):
        rig.put_run("a", 10)
        rows = rig.detections(ends("a"))
        redis = launch([str(find_redis()), "--port", str(port), "--bind", "127.0.0.1", "--save", ""], tmp_path)
        try:
            wait_until(lambda: _answers(rig) and rig.mirrored("a") == rows)
        finally:
            stop(redis, 5)


def _answers(rig: Rig) -> bool:
    with suppress(ConnectionError), connect_redis(rig.settings.redis) as client:
        return bool(client.ping())
    return False


def test_a_worker_does_not_start_with_a_redis_that_refuses_it(rig: Rig) -> None:
    wrong = rig.settings.redis.model_copy(update={"username": "nobody", "password": SecretStr("wrong")})
    with (
        pytest.raises(ServiceError, match=r"login refused: check redis\.username"),
        running(rig.settings.model_copy(update={"redis": wrong})),
    ):
        pass
