"""Previews: what is drawn, how large, how often, and that nothing is done while nobody watches."""

import threading
import time
from collections.abc import Callable
from itertools import count
from typing import Any

import numpy as np
import pytest
import simplejpeg
from numpy.typing import NDArray
from redis.exceptions import NoPermissionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from consumers.entry import Entry
from consumers.mirroring import preview
from consumers.mirroring.preview import Preview, colour_of, draw
from streamer.records import BBox, DetectedObject, FrameHeader, FrameId, Result
from streamer.settings import Settings
from tests.waiting import eventually

WANTED, SHOWN = "preview-wanted:{{main:{}}}", "preview:{{main:{}}}"
GREY = 100


class FakeRedis:
    """Who watches, what was shown and asked, and when. failing: raised instead of an answer."""

    def __init__(self, *watched: str) -> None:
        self.wishes = {WANTED.format(stream) for stream in watched}
        self.shown: list[tuple[str, bytes, int]] = []
        self.at: list[float] = []
        self.asked: list[list[str]] = []
        self.asked_at: list[float] = []
        self.failing: Exception | None = None

    def mget(self, keys: list[str]) -> list[bytes | None]:
        self.asked.append(keys)
        self.asked_at.append(time.monotonic())
        if self.failing:
            raise self.failing
        return [b"1" if key in self.wishes else None for key in keys]

    def set(self, key: str, value: bytes, ex: int) -> None:
        self.shown.append((key, value, ex))
        self.at.append(time.monotonic())

    def close(self) -> None:
        pass


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The one item is what time it is."""
    now = [1000.0]
    monkeypatch.setattr(preview.time, "monotonic", lambda: now[0])
    return now


def header(sequence: int = 0, stream: str = "a", size: tuple[int, int] = (640, 480), **changes: Any) -> FrameHeader:
    values: dict[str, Any] = {
        "source_width": size[0] * 2,
        "source_height": size[1] * 2,
        "matrix": (2.0, 0.0, 0.0, 0.0, 2.0, 0.0),
    } | changes
    return FrameHeader(stream, FrameId(1, sequence), 0, sequence, *size, **values)


def result(head: FrameHeader, *objects: DetectedObject) -> Result:
    return Result("main", head.stream, head.id, 0, head.source_width, head.source_height, objects)


def jpeg(size: tuple[int, int] = (640, 480), grey: int = GREY) -> bytes:
    data: bytes = simplejpeg.encode_jpeg(np.full((size[1], size[0], 3), grey, np.uint8))
    return data


def decoded(data: bytes) -> NDArray[np.int16]:
    return np.asarray(simplejpeg.decode_jpeg(data), np.int16)


def offer(shows: Preview, sequence: int, stream: str = "a", partition: int = 0, data: bytes | None = None) -> Entry:
    head = header(sequence, stream)
    entry = Entry(partition, sequence, None, head, jpeg(grey=sequence) if data is None else data, 0)
    shows.offer(entry, result(head))
    return entry


def step(shows: Preview, redis: FakeRedis) -> None:
    shows.step(redis)  # type: ignore[arg-type]


def run(shows: Preview, clock: list[float], enough: Callable[[], bool]) -> None:
    """What the thread does, here and now, until there is enough: its pauses last by the clock. A frame each 1/8 s."""
    sequences, data = count(), jpeg()

    class Pauses(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            for _ in range(round(8 * (timeout or 0))):
                offer(shows, next(sequences), data=data)
                clock[0] += 1 / 8
            assert clock[0] < 1100
            return enough()

    shows._stopping = Pauses()
    shows.run()


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        ((640, 480), (320, 240)),
        ((1080, 1920), (180, 320)),
        ((1000, 500), (320, 160)),
        ((64, 48), (64, 48)),
        ((4000, 4), (320, 1)),
    ],
)
def test_a_picture_is_at_most_320_pixels_long_and_never_enlarged(size: tuple[int, int], shown: tuple[int, int]) -> None:
    head = header(size=size)
    assert decoded(draw(jpeg(size), head, result(head))).shape == (shown[1], shown[0], 3)


@pytest.mark.parametrize(
    ("matrix", "box"),
    [
        ((2.0, 0.0, 0.0, 0.0, 2.0, 0.0), (320, 240, 960, 720)),
        ((1.0, 0.0, 500.0, 0.0, 1.0, 100.0), (660, 220, 980, 460)),  # cut out
        ((0.0, -2.0, 960.0, 2.0, 0.0, 0.0), (240, 320, 720, 960)),  # turned
    ],
)
def test_a_box_is_drawn_where_its_object_is_in_the_frame(matrix: tuple[float, ...], box: tuple[float, ...]) -> None:
    head = header(source_width=1280, source_height=1280, matrix=matrix)
    found = DetectedObject("0", BBox(*box), "person", 0.87)
    difference = np.abs(decoded(draw(jpeg(), head, result(head, found))) - GREY).max(axis=2) > 40
    rows, columns = np.flatnonzero(difference.mean(axis=1) > 0.4), np.flatnonzero(difference.mean(axis=0) > 0.4)
    assert (rows.min(), rows.max()) == pytest.approx((60, 180), abs=2)
    assert (columns.min(), columns.max()) == pytest.approx((80, 240), abs=2)
    assert difference[40:58, 82:].any(), "label"
    assert not difference[70:170, 90:230].any()


def test_each_class_has_a_colour_of_its_own() -> None:
    head = header()
    for kind in ("person", "car"):
        found = DetectedObject("0", BBox(320, 240, 960, 720), kind, 0.5)
        line = decoded(draw(jpeg(), head, result(head, found)))[100:140, 79:82].reshape(-1, 3)
        nearest = np.abs(line - np.array(colour_of(kind))).sum(axis=1).min()
        assert nearest < 120  # the JPEG's colours are of half its resolution
    assert colour_of("person") != colour_of("car")


def test_a_box_far_outside_is_drawn_at_the_edge() -> None:
    head = header()
    found = DetectedObject("0", BBox(-1e9, -1e9, 1e9, 1e9), "person", 0.5)
    assert (np.abs(decoded(draw(jpeg(), head, result(head, found))) - GREY)[:, -1].max(axis=1) > 40).all()


def test_nobody_watches_nothing_is_kept_decoded_or_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview, "draw", lambda *_: pytest.fail("drawn"))
    shows, redis = Preview(Settings(), lambda partition: True), FakeRedis("b")
    for sequence in range(3):
        offer(shows, sequence)
        step(shows, redis)
    assert redis.asked == [[WANTED.format("a")]]
    assert redis.shown == []
    assert shows._pending == {}


def test_the_newest_frame_of_each_stream_that_is_watched_is_shown_once(clock: list[float]) -> None:
    shows, redis = Preview(Settings(), lambda partition: True), FakeRedis("a", "b")
    for stream in "abc":
        offer(shows, 0, stream)
    step(shows, redis)
    for sequence in (10, 90, 50):  # lanes end in any order
        for stream in "abc":
            entry = offer(shows, sequence, stream)
            entry.jpeg = b""  # as the ledger does it
    step(shows, redis)
    step(shows, redis)
    assert sorted(key for key, _, _ in redis.shown) == [SHOWN.format("a"), SHOWN.format("b")]
    for _, data, expires_s in redis.shown:
        assert expires_s == 10
        assert abs(int(decoded(data).mean()) - 90) < 3


def test_it_looks_once_a_second_and_ends_when_the_wish_has_expired(clock: list[float]) -> None:
    shows, redis = Preview(Settings(), lambda partition: True), FakeRedis("a")
    for sequence in range(40):  # 10 s
        offer(shows, sequence)
        step(shows, redis)
        if sequence == 20:
            redis.wishes.clear()
        clock[0] += 0.25
    assert len(redis.asked) == 10
    assert len(redis.shown) == 23  # from the second to the one before the look at 6 s


def test_a_stream_is_shown_twice_a_second(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    redis = FakeRedis("a")
    monkeypatch.setattr(preview, "connect_redis", lambda *_, **__: redis)
    run(Preview(Settings(), lambda partition: True), clock, lambda: len(redis.shown) == 9)
    assert np.diff(redis.at).tolist() == [0.5] * 8


def test_of_a_partition_that_was_lost_nothing_is_asked_or_shown(clock: list[float]) -> None:
    owned = {0, 1}
    shows, redis = Preview(Settings(), owned.__contains__), FakeRedis("a", "b")
    offer(shows, 1, "a", 0)
    offer(shows, 1, "b", 1)
    step(shows, redis)
    offer(shows, 2, "a", 0)
    offer(shows, 2, "b", 1)
    owned.remove(1)
    step(shows, redis)
    clock[0] += 1
    step(shows, redis)
    assert [key for key, _, _ in redis.shown] == [SHOWN.format("a")]
    assert redis.asked[-1] == [WANTED.format("a")]


def test_streams_without_frames_are_forgotten(clock: list[float]) -> None:
    shows, redis = Preview(Settings(), lambda partition: True), FakeRedis()
    offer(shows, 1, "old")
    clock[0] += 601
    offer(shows, 1, "new")
    step(shows, redis)
    assert redis.asked == [[WANTED.format("new")]]
    assert list(shows._seen) == ["new"]


def test_a_damaged_frame_has_no_preview_and_the_next_one_has(clock: list[float]) -> None:
    shows, redis = Preview(Settings(), lambda partition: True), FakeRedis("a")
    offer(shows, 0)
    step(shows, redis)
    offer(shows, 1, data=b"none")
    step(shows, redis)
    assert redis.shown == []
    offer(shows, 2)
    step(shows, redis)
    assert len(redis.shown) == 1


@pytest.mark.parametrize(("error", "lines"), [(NoPermissionError("no mget"), 1), (RedisTimeoutError("slow"), 0)])
def test_a_redis_that_fails_is_asked_again_later_and_a_refusal_is_told_once(
    clock: list[float],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    lines: int,
) -> None:
    redis = FakeRedis("a")
    redis.failing = error
    error.__context__ = TimeoutError()
    monkeypatch.setattr(preview, "connect_redis", lambda *_, **__: redis)

    def shown() -> bool:
        if len(redis.asked) == 3:
            redis.failing = None
        return bool(redis.shown)

    run(Preview(Settings(), lambda partition: True), clock, shown)
    assert np.diff(redis.asked_at).tolist() == [5.0] * 3
    assert len([record for record in caplog.records if "no previews" in record.getMessage()]) == lines


def test_an_error_that_nobody_foresaw_is_told_once_and_previews_go_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    redis, failures, drawn = FakeRedis("a"), iter([True, True]), preview.draw

    def draw_at_third(*frame: Any) -> bytes:
        if next(failures, False):
            raise ZeroDivisionError
        return drawn(*frame)

    monkeypatch.setattr(preview, "connect_redis", lambda *_, **__: redis)
    monkeypatch.setattr(preview, "draw", draw_at_third)
    monkeypatch.setattr(preview, "_EVERY_S", 0.01)
    monkeypatch.setattr(preview, "_AGAIN_S", 0.05)
    shows = Preview(Settings(), lambda partition: True)
    shows.start()
    sequences = iter(range(100_000))

    def shown() -> bool:
        offer(shows, next(sequences), data=jpeg())
        return bool(redis.shown)

    eventually(shown, "a picture is shown")
    shows.stop()
    shows.join(5)
    assert [record.message for record in caplog.records if record.exc_info] == ["no previews: ZeroDivisionError"]
