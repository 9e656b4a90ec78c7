"""Publishing to a real broker: nothing lost, nothing out of order, whatever goes wrong on the way."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from producers import metrics
from producers.lane import Lane
from producers.position import Position, find_positions, start_from
from producers.publisher import Publisher
from streamer.lifecycle import Deadline
from streamer.moments import unix_ms
from streamer.records import EndHeader, FrameId
from streamer.settings import Settings
from tests.integration.producer_rig import broker_frozen, first_times, frame, published
from tests.waiting import Watched, eventually

EPOCH = 1_700_000_000_000


@contextmanager
def publishing(publisher: Publisher) -> Iterator[Publisher]:
    publisher.open()
    try:
        yield publisher
    finally:
        publisher.close(Deadline(5))


def put(lane: Lane, sequence: int, value: bytes = b"jpeg", clock_ms: int | None = None) -> bool:
    return lane.put(frame(lane.stream, EPOCH, sequence, lane.stamp(clock_ms or unix_ms())), value)


def sequences(settings: Settings, stream: str) -> list[int]:
    return [sequence for _, sequence in first_times(published(settings)[stream])]


def dropped(stream: str, reason: str) -> float:
    return metrics.DROPPED.labels(stream, reason)._value.get()


def test_streams_share_a_producer_each_in_order_and_find_their_last_record(settings: Settings) -> None:
    names = [f"cam{number}" for number in range(5)]
    with publishing(Publisher(settings)) as publisher:
        lanes = [publisher.lane(name, waits=False) for name in names]
        for sequence in range(200):
            for lane in lanes:
                put(lane, sequence)
        lanes[0].end(EndHeader(names[0], FrameId(EPOCH, 200), unix_ms(), "gone"))
        assert all(lane.flush(Deadline(10)) for lane in lanes)
        found = find_positions(settings, [*names, "never"], publisher.partition, limit_s=10)
    assert sequences(settings, names[0]) == list(range(201))
    assert sequences(settings, names[1]) == list(range(200))
    assert found.keys() == set(names)
    assert (found[names[0]].ended, found[names[0]].error) == (True, "gone")
    assert (found[names[1]].sequence, found[names[1]].index, found[names[1]].ended) == (199, 199, False)


def test_a_position_far_behind_the_end_of_its_partition_is_found(settings: Settings) -> None:
    with publishing(Publisher(settings)) as publisher:
        quiet, name = publisher.lane("quiet", waits=True), ""
        name = next(f"busy{n}" for n in range(99) if publisher.partition(f"busy{n}") == quiet.partition)
        busy = publisher.lane(name, waits=True)
        for sequence in range(3):
            put(quiet, sequence)
        assert quiet.flush(Deadline(10))
        for sequence in range(1500):
            put(busy, sequence)
        assert busy.flush(Deadline(10))
        found = find_positions(settings, ["quiet"], publisher.partition, limit_s=10)["quiet"]
        too_far = find_positions(settings, ["quiet"], publisher.partition, limit_s=0)["quiet"]
    assert found == Position(EPOCH, 2, 2, found.captured_ms)
    assert start_from(found, live=False, now_ms=0).sequence == 3
    # Not found in time: a new run, its epoch behind all that there can be.
    assert too_far.ended
    assert start_from(too_far, live=False, now_ms=0).epoch > max(EPOCH, found.captured_ms)


def test_a_frame_larger_than_the_topic_takes_is_a_hole_and_the_rest_goes_on(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """Our settings allow it, the topic does not: only the broker says so."""
    too_large = settings.topics.max_record_bytes + 100_000
    wrong = settings.topics.model_copy(update={"max_record_bytes": 2 * too_large})
    settings = settings.model_copy(update={"topics": wrong})
    with publishing(Publisher(settings)) as publisher:
        lane, other = publisher.lane("large", waits=True), publisher.lane("other", waits=True)
        for sequence in range(10):
            put(lane, sequence, bytes(too_large if sequence in (3, 7) else 100))
            put(other, sequence)
        assert lane.flush(Deadline(20))
        assert other.flush(Deadline(20))
        assert not put(lane, 10, bytes(too_large)), "known to be too large by now"
    assert sequences(settings, "large") == [0, 1, 2, 4, 5, 6, 8, 9]
    assert sequences(settings, "other") == list(range(10))
    assert dropped("large", "oversize") == 3
    assert sum("frames are dropped" in record.message for record in caplog.records) == 1


def test_the_largest_jpeg_that_the_settings_allow_travels(settings: Settings) -> None:
    largest = settings.topics.max_record_bytes
    with publishing(Publisher(settings)) as publisher:
        lane = publisher.lane("limit", waits=True)
        assert put(lane, 0, bytes(largest))
        assert not put(lane, 1, bytes(largest + 1))
        assert lane.flush(Deadline(20))
    assert [len(record.value or b"") for record in published(settings)["limit"]] == [largest]
    assert dropped("limit", "oversize") == 1


def test_a_clock_that_ran_ahead_and_was_set_right_loses_nothing(settings: Settings) -> None:
    ahead_ms = 2 * 3600 * 1000
    with publishing(Publisher(settings)) as publisher:
        lane = publisher.lane("clock", waits=False)
        for sequence in range(5):
            put(lane, sequence)
        assert lane.flush(Deadline(10))
        for sequence in range(5, 10):
            put(lane, sequence, clock_ms=unix_ms() + ahead_ms)  # the broker refuses these times
        for sequence in range(10, 15):
            put(lane, sequence)
        assert lane.flush(Deadline(20))
    records = published(settings)["clock"]
    assert [sequence for _, sequence in first_times(records)] == list(range(15))
    times = [record.timestamp_ms for record in records]
    assert times == sorted(times)
    assert max(times) < unix_ms() + 1000


@pytest.mark.parametrize("delivery_timeout_s", [2.0, 60.0], ids=["outlives the delivery timeout", "does not"])
def test_a_broker_outage_loses_nothing_of_a_file(
    settings: Settings, delivery_timeout_s: float, caplog: pytest.LogCaptureFixture
) -> None:
    outlived = delivery_timeout_s == 2
    with publishing(Publisher(settings, delivery_timeout_s=delivery_timeout_s)) as publisher:
        lane = publisher.lane("file", waits=True)
        for sequence in range(20):  # of which some are on their way
            put(lane, sequence, bytes(1000))
        with broker_frozen(settings):
            for sequence in range(20, 60):
                put(lane, sequence, bytes(1000))
            if outlived:
                eventually(lambda: "going on with a new producer" in caplog.text, "the delivery timeout is over")
            assert lane.outstanding_bytes >= 40 * 1000
        assert lane.flush(Deadline(40))
    assert ("going on with a new producer" in caplog.text) == outlived
    assert sequences(settings, "file") == list(range(60))


@pytest.mark.parametrize("waits", [True, False], ids=["file", "camera"])
def test_of_a_run_that_began_as_the_stream_went_to_another_at_most_a_frame_comes(
    settings: Settings, waits: bool
) -> None:
    with publishing(Publisher(settings)) as publisher:
        ours = threading.Event()
        ours.set()
        lane = publisher.lane("lost", waits, ours.is_set)
        with broker_frozen(settings):
            for sequence in range(5):
                put(lane, sequence)
            ours.clear()
        eventually(lambda: not lane.oldest_s(), "what the client had is acknowledged")
        lane.interrupt()
        assert lane.flush(Deadline(20)), "nobody waits for the rest"
    assert sequences(settings, "lost") == [0]


def test_a_live_stream_without_room_drops_its_oldest_frames(settings: Settings) -> None:
    """A broker that stands still, and room for ten frames: the newest ten wait, the hole is before them."""
    tiny = settings.model_copy(
        update={"produce": settings.produce.model_copy(update={"max_outstanding_bytes": 1024**2})}
    )
    size, frames = 100_000, 60
    with publishing(Publisher(tiny)) as publisher:
        lane = publisher.lane("live", waits=False)
        for sequence in range(3):
            put(lane, sequence, bytes(size))
        assert lane.flush(Deadline(10))
        with broker_frozen(settings):
            for sequence in range(3, frames):
                put(lane, sequence, bytes(size))
                assert lane.outstanding_bytes <= 1024**2
        assert lane.flush(Deadline(20))
    found = sequences(settings, "live")
    assert found[:4] == [0, 1, 2, 3]
    assert found[-5:] == list(range(frames - 5, frames))
    assert dropped("live", "queue_full") == frames - len(found) > 40


def test_a_file_without_room_waits_until_it_is_told_to_stop(settings: Settings) -> None:
    tiny = settings.model_copy(
        update={"produce": settings.produce.model_copy(update={"max_outstanding_bytes": 1024**2})}
    )
    results: list[bool] = []
    with publishing(Publisher(tiny)) as publisher:
        lane = publisher.lane("waiting", waits=True)
        changed = lane._changed = Watched()

        def run() -> None:
            while len(results) < 20 and all(results):
                results.append(put(lane, len(results), bytes(100_000)))

        with broker_frozen(settings):
            thread = threading.Thread(target=run)
            thread.start()
            assert changed.waited.wait(20)
            assert results == [True] * 10
            lane.interrupt()
            thread.join(20)
            assert results == [True] * 10 + [False]
        assert lane.flush(Deadline(20))
    assert sequences(settings, "waiting") == list(range(10))


def test_one_stream_at_full_speed_leaves_the_others_their_share(settings: Settings) -> None:
    tiny = settings.model_copy(
        update={"produce": settings.produce.model_copy(update={"max_outstanding_bytes": 4 * 1024**2})}
    )
    with publishing(Publisher(tiny)) as publisher:
        greedy, modest = publisher.lane("greedy", waits=False), publisher.lane("modest", waits=False)
        with broker_frozen(settings):
            for sequence in range(100):
                put(greedy, sequence, bytes(100_000))
            for sequence in range(10):
                put(modest, sequence, bytes(100_000))
        assert modest.flush(Deadline(20))
        assert greedy.flush(Deadline(20))
    assert sequences(settings, "modest") == list(range(10))
    assert dropped("modest", "queue_full") == 0


def test_the_clients_linger_follows_the_rate(settings: Settings) -> None:
    """Through kafka-python's inside, so that a release that changes it is noticed here."""
    with publishing(Publisher(settings)) as publisher:
        lane, sequence = publisher.lane("fast", waits=True), 0
        link = publisher._link
        assert link is not None
        config = link._producer._accumulator.config
        alone = config["linger_ms"]
        deadline = time.monotonic() + 10
        while config["linger_ms"] == alone:
            assert time.monotonic() < deadline
            put(lane, sequence := sequence + 1)
            time.sleep(0.001)
        assert config["linger_ms"] > alone


def test_a_frame_beside_one_that_lingers_does_not_wake_the_client(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through kafka-python's inside, so that a release that changes it is noticed here."""
    with publishing(Publisher(settings)) as publisher:
        lanes = [publisher.lane(f"cam{number}", waits=False) for number in range(12)]
        assert len({lane.partition for lane in lanes}) > 2
        link = publisher._link
        assert link is not None
        link.set_linger(2000)
        wakings: list[float] = []
        wake = link._wake_sender
        monkeypatch.setattr(link, "_wake_sender", lambda: (wakings.append(time.monotonic()), wake()))
        for lane in lanes:
            put(lane, 0)
        assert len(wakings) == 1
        assert all(lane.flush(Deadline(10)) for lane in lanes)
        put(lanes[0], 1)
        assert len(wakings) == 2
        assert lanes[0].flush(Deadline(10))
