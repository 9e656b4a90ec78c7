"""Which frame next, and what a stream's freshness skips."""

import threading

import pytest

from consumers.choose import Chooser
from consumers.entry import Entry
from streamer.moments import unix_ms
from streamer.records import FrameHeader, FrameId, GapReason
from tests.waiting import Watched, eventually


def entry(stream: str, sequence: int, age_ms: int = 0) -> Entry:
    captured = unix_ms() - age_ms
    header = FrameHeader(stream, FrameId(1, sequence), captured, sequence, 8, 8, 8, 8, (1, 0, 0, 0, 1, 0))
    return Entry(0, sequence, "m", header, b"", captured)


class Box:
    """A chooser and what it has skipped."""

    def __init__(self, limit: int = 8) -> None:
        self.skipped: list[tuple[str, int]] = []
        self.chooser = Chooser(limit, self._skip)

    def _skip(self, skipped: Entry, reason: GapReason, _: str) -> None:
        assert reason is GapReason.STALE
        assert skipped.header is not None
        self.skipped.append((skipped.header.stream, skipped.header.id.sequence))

    def offer(self, stream: str, sequence: int, bound_ms: int | None, age_ms: int = 0, patient: bool = False) -> Entry:
        offered = entry(stream, sequence, age_ms)
        offered.patient = patient
        self.chooser.offer(stream, offered, bound_ms)
        return offered

    def take(self, most: int = 10, fill_s: float = 0, patient: int = 0) -> list[tuple[str, int]]:
        taken = self.chooser.take(most, timeout_s=0, fill_s=fill_s, patient=patient)
        return [(e.header.stream, e.header.id.sequence) for e in taken if e.header]


def test_latest_keeps_the_newest_only() -> None:
    box = Box()
    for n in range(4):
        box.offer("a", n, 0)
    assert box.take() == [("a", 3)]
    assert box.skipped == [("a", 0), ("a", 1), ("a", 2)]


def test_bounded_skips_what_is_too_old_when_its_turn_comes() -> None:
    box = Box()
    box.offer("a", 0, 500, age_ms=60_000)
    box.offer("a", 1, 60_000, age_ms=500)
    assert box.take() == [("a", 1)]
    assert box.skipped == [("a", 0)]


def test_every_keeps_all_in_order_and_is_bounded_by_room() -> None:
    box = Box(limit=3)
    for n in range(3):
        box.offer("a", n, None, age_ms=60_000)
    assert not box.chooser.wait_for_room(0)
    assert box.take() == [("a", 0), ("a", 1), ("a", 2)]
    assert box.chooser.wait_for_room(0)
    assert box.skipped == []


def test_streams_take_turns() -> None:
    box = Box()
    for n in range(3):
        box.offer("busy", n, None)
    box.offer("quiet", 0, None)
    assert box.take() == [("busy", 0), ("quiet", 0), ("busy", 1), ("busy", 2)]


def test_latest_frames_take_no_room() -> None:
    box = Box(limit=1)
    box.offer("a", 0, 0)
    assert box.chooser.wait_for_room(0)


def test_abandoned_frames_are_passed_over() -> None:
    box = Box()
    box.offer("a", 0, None).abandoned = True
    kept = box.offer("a", 1, None)
    assert box.take() == [("a", 1)]
    assert kept.taken


def test_a_batch_is_no_larger_than_wanted() -> None:
    box = Box()
    for n in range(5):
        box.offer("a", n, None)
    assert box.take(most=2) == [("a", 0), ("a", 1)]


def test_a_closed_chooser_wakes_who_waits() -> None:
    box = Box()
    box.chooser.close()
    assert box.take() == []
    assert box.chooser.wait_for_room(10)


def waiting_poller(box: Box) -> tuple[threading.Thread, threading.Event]:
    """A thread that waits until few frames wait, and what it sets then."""
    woken = threading.Event()
    left = box.chooser._left = Watched(box.chooser._lock)
    poller = threading.Thread(target=lambda: box.chooser.wait_until_low(60) and woken.set(), daemon=True)
    poller.start()
    assert left.waited.wait(20)
    assert not woken.is_set()
    return poller, woken


@pytest.mark.parametrize("batch", [1, 4])
def test_a_taken_frame_wakes_the_poller_that_waits_for_it(batch: int) -> None:
    box = Box()
    box.chooser.serve(batch)
    for n in range(batch + 1):
        box.offer("a", n, None)
    poller, woken = waiting_poller(box)
    box.take(most=1)
    assert woken.wait(5)
    poller.join(5)


def test_a_batch_that_is_being_filled_does_not_keep_the_poller_waiting_for_it() -> None:
    box = Box()
    for n in range(3):
        box.offer("a", n, None)
    poller, woken = waiting_poller(box)
    taken: list[tuple[str, int]] = []
    lane = threading.Thread(target=lambda: taken.extend(box.take(most=4, fill_s=60)), daemon=True)
    lane.start()
    assert woken.wait(5)
    box.offer("a", 3, None)
    lane.join(5)
    assert taken == [("a", n) for n in range(4)]
    poller.join(5)


def test_more_are_taken_together_where_nobody_waits_for_their_results() -> None:
    box = Box()
    for n in range(6):
        box.offer("file", n, None, patient=True)
    assert box.take(most=1, patient=4) == [("file", n) for n in range(4)]
    assert box.take(most=1, patient=4) == [("file", 4), ("file", 5)]


def test_none_are_taken_together_while_a_frame_is_waited_for() -> None:
    box = Box()
    for n in range(3):
        box.offer("file", n, None, patient=True)
    box.offer("camera", 0, 0)
    assert box.take(most=1, patient=4) == [("file", 0)]
    assert box.take(most=1, patient=4) == [("camera", 0)]
    assert box.take(most=1, patient=4) == [("file", 1), ("file", 2)]


def test_lanes_that_wait_get_a_frame_each_rather_than_one_of_them_all(monkeypatch: pytest.MonkeyPatch) -> None:
    box = Box()
    taken: list[list[Entry]] = []
    lanes = [
        threading.Thread(target=lambda: taken.append(box.chooser.take(1, timeout_s=5, fill_s=0, patient=4)))
        for _ in range(2)
    ]
    for lane in lanes:
        lane.start()
    eventually(lambda: box.chooser.idle() == 2, "both wait")
    with monkeypatch.context() as patch:
        # Both lanes wake when both frames are there, or the first might be taken before.
        patch.setattr(box.chooser._came, "notify", lambda: None)
        for n in range(2):
            box.offer("file", n, None, patient=True)
    with box.chooser._lock:
        box.chooser._came.notify_all()
    for lane in lanes:
        lane.join(10)
    assert [len(each) for each in taken] == [1, 1]
