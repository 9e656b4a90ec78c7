"""What is written to a Redis and read from a log of the test's own, whenever partitions come and go meanwhile."""

import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import uuid4

import pytest
from kafka.errors import KafkaTimeoutError
from prometheus_client import REGISTRY
from redis.exceptions import ConnectionError

from consumers.commit import Committer
from consumers.entry import Channel, Entry, Row
from consumers.ledger import Ledger
from consumers.mirroring import mirror, repair
from consumers.positions import Positions
from streamer.moments import unix_ms
from streamer.records import ZERO, FrameHeader, FrameId, Result
from streamer.settings import Settings
from tests.integration.worker_rig import changed, wait_until

A = Channel("detections", "a")


def row(sequence: int, stream: str = "a") -> Row:
    result = Result("main", stream, FrameId(1, sequence), 0, 8, 8, ())
    return Row(0, result, result.to_json())


def rows(first: int, last: int, stream: str = "a") -> list[Row]:
    return [row(sequence, stream) for sequence in range(first, last)]


class World:
    """Redis and the log: ids by channel, and records of partition 0.

    heard: what was published. asked: the channels whose newest id was asked for.
    """

    def __init__(self) -> None:
        self.redis: defaultdict[Channel, list[FrameId]] = defaultdict(list)
        self.log: list[Row] = []
        self.heard: list[tuple[str, int]] = []
        self.asked: set[Channel] = set()

    def top(self, channel: Channel) -> FrameId:
        self.asked.add(channel)
        return max(self.redis[channel], default=ZERO)

    def write(self, written: Sequence[Row], told: Mapping[Channel, FrameId] | None = None) -> None:
        for each in written:
            if each.id > self.top(each.channel):
                self.redis[each.channel].append(each.id)
                if each.id > (told or {}).get(each.channel, ZERO):
                    self.heard.append((each.channel.stream, each.id.sequence))

    def sequences(self) -> list[int]:
        return [id.sequence for id in self.redis[A]]


class Tail:
    """Of the log: read at once."""

    def __init__(self, world: World) -> None:
        self._world, self._read = world, False

    def read(self) -> list[Row]:
        found, self._read = [] if self._read else self._world.log, True
        return found

    def written(self) -> dict[Any, int]:
        return {}

    def has_read(self, _: object) -> bool:
        return self._read

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()
    monkeypatch.setattr(mirror, "RedisWriter", lambda settings: world)
    monkeypatch.setattr(repair, "LogTail", lambda *_: Tail(world))
    return world


def done(under_test: mirror.Mirror) -> None:
    """All that it is to write is written."""
    under_test.start()
    under_test.stop(10)
    assert not under_test.is_alive()


def test_what_is_committed_of_a_partition_that_was_given_up_is_left_to_its_next_owner(world: World) -> None:
    under_test = mirror.Mirror(Settings())
    world.write(rows(0, 7))
    under_test.check(0, {"a": FrameId(1, 12)}, {})  # 7 to 12 are missing
    under_test.forget({0})
    under_test.write(rows(13, 16))
    done(under_test)
    assert world.sequences() == list(range(7))


def test_a_batch_that_comes_after_its_partition_has_come_back_hides_nothing_newer(world: World) -> None:
    under_test = mirror.Mirror(Settings())
    world.write(rows(0, 7))
    under_test.check(0, {"a": FrameId(1, 6)}, {})
    under_test.forget({0})
    world.log = rows(0, 21)
    under_test.check(0, {"a": FrameId(1, 20)}, {})
    under_test.write(rows(4, 7))
    done(under_test)
    assert world.sequences() == list(range(21))


def test_who_takes_over_publishes_nothing_again_of_any_stream_that_redis_has_lost(world: World) -> None:
    under_test = mirror.Mirror(Settings())
    world.log = [*rows(0, 3, "a"), *rows(0, 3, "b")]
    under_test.check(0, {"a": FrameId(1, 2), "b": FrameId(1, 2)}, {})
    done(under_test)
    assert all(len(world.redis[Channel("detections", stream)]) == 3 for stream in "ab")
    assert world.heard == []


def test_what_a_worker_commits_before_a_redis_without_anything_is_filled_is_published(world: World) -> None:
    under_test = mirror.Mirror(Settings())
    world.log = rows(0, 6)
    under_test.check(0, {"a": FrameId(1, 2)}, {})
    under_test.write(rows(3, 6))
    done(under_test)
    assert world.sequences() == list(range(6))
    assert world.heard == [("a", 3), ("a", 4), ("a", 5)]


def test_what_kafka_does_not_answer_is_not_said_to_be_redis(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def unanswered(_: Tail) -> list[Row]:
        raise KafkaTimeoutError("no leader answers")

    monkeypatch.setattr(Tail, "read", unanswered)
    under_test = mirror.Mirror(Settings())
    under_test.check(0, {"a": FrameId(1, 2)}, {})
    done(under_test)
    assert "no leader answers" in caplog.text
    assert "Redis" not in caplog.text


def test_a_batch_is_the_mirror_s_before_its_partitions_can_be_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Committer, "_write", lambda *_: True)
    ledger = Ledger("main")
    ledger.open(0, Positions({}))
    header = FrameHeader("a", FrameId(1, 0), unix_ms(), 0, 64, 48, 64, 48, (1, 0, 0, 0, 1, 0))
    entry = Entry(0, 0, "member", header, b"", 0)
    ledger.register(entry, 0)
    ledger.finish(entry, Result("main", "a", header.id, 0, 64, 48, ()))
    could_be_given_up: list[bool] = []
    committer = Committer(
        Settings(),
        ledger,
        follow=lambda batch: None,
        after_commit=lambda rows, certain: could_be_given_up.append(ledger.close({0}, 0)),
        plain_commit=lambda offsets: None,
        instance="w",
    )
    committer.stop()
    committer.start()
    committer.join(10)
    assert could_be_given_up == [False]


class Deaf(Tail):
    """Hears nothing, and does not end."""

    def read(self) -> list[Row]:
        time.sleep(0.01)
        return []

    def has_read(self, ends: object) -> bool:
        return False


def test_a_reader_of_the_log_that_hears_nothing_is_replaced(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tails = iter([Deaf(world), Tail(world)])
    monkeypatch.setattr("consumers.mirroring.repair.LogTail", lambda *_: next(tails))
    monkeypatch.setattr("consumers.mirroring.repair.STANDS_S", 0.05)
    under_test = mirror.Mirror(Settings())
    world.log = rows(0, 3)
    under_test.check(0, {"a": FrameId(1, 2)}, {})
    done(under_test)
    assert world.sequences() == [0, 1, 2]
    assert "partition 0: nothing came from the log" in caplog.text


class Hanging:
    """A mirror that has begun to write record 0 to a Redis that hangs, until `away` is set: then that is gone."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pipeline, self.away, self._called = uuid4().hex, threading.Event(), threading.Event()
        self.mirror = mirror.Mirror(changed(Settings(), pipeline=self.pipeline))
        self.mirror.check(0, {}, {})
        self.mirror.start()
        wait_until(lambda: self.gauges() == (0, 0))
        monkeypatch.setattr(world, "write", self._hang)
        self.mirror.write(rows(0, 1))
        assert self._called.wait(10)

    def _hang(self, *_: object) -> None:
        self._called.set()
        assert self.away.wait(10)
        raise ConnectionError("away")

    def gauges(self) -> tuple[float | None, float | None]:
        """Records that wait, partitions that are behind."""
        names = ("streamer_mirror_waiting_records", "streamer_mirror_behind_partitions")
        waiting, behind = (REGISTRY.get_sample_value(name, {"pipeline": self.pipeline}) for name in names)
        return waiting, behind


@pytest.fixture
def hanging(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hanging]:
    hanging = Hanging(world, monkeypatch)
    yield hanging
    hanging.away.set()
    hanging.mirror.stop(10)


def test_metrics_tell_what_waits_while_redis_hangs_and_what_it_lacks_while_it_is_away(hanging: Hanging) -> None:
    hanging.mirror.write(rows(1, 4))
    hanging.mirror.write(rows(4, 6))
    assert hanging.gauges() == (5, 0)
    hanging.away.set()
    wait_until(lambda: hanging.gauges() == (0, 1))


def test_no_more_records_wait_than_the_queue_is_for_however_few_the_batches(
    hanging: Hanging, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror, "_QUEUE", 5)
    hanging.mirror.write(rows(1, 4))
    hanging.mirror.write(rows(4, 6))
    hanging.mirror.write(rows(6, 9))
    assert hanging.gauges() == (0, 1)


class Unread(Tail):
    """Of a partition without a leader."""

    def read(self) -> list[Row]:
        raise KafkaTimeoutError("no leader answers")


def test_a_partition_whose_log_can_t_be_read_keeps_no_other_from_its_repair(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        repair, "LogTail", lambda settings, partition, age_s: Unread(world) if partition == 0 else Tail(world)
    )
    monkeypatch.setattr(mirror, "_RETRY_S", 0.01)
    under_test = mirror.Mirror(Settings())
    world.log = rows(0, 3)
    under_test.check(0, {"b": FrameId(1, 2)}, {})
    under_test.check(1, {"a": FrameId(1, 2)}, {})
    under_test.start()
    wait_until(lambda: world.sequences() == [0, 1, 2])
    under_test.stop(10)


def test_a_redis_that_comes_back_is_asked_for_no_stream_whose_records_have_expired(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, began = Settings(), time.monotonic()
    under_test = mirror.Mirror(settings)
    under_test.check(0, {"old": FrameId(1, 3)}, {})
    under_test.write(rows(0, 3, "older"))
    kept_s = settings.redis.max_age_s + settings.redis.latest_ttl_s
    monkeypatch.setattr("consumers.mirroring.mirror.time.monotonic", lambda: began + kept_s + 60)
    world.log = rows(0, 3)
    under_test.write(rows(0, 3))
    done(under_test)
    assert world.asked == {A}
    assert world.sequences() == [0, 1, 2]
