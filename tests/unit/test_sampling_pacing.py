"""Which pictures are taken, and when: sampling, pacing, and the time stamps that both rest on."""

import threading
import time
from fractions import Fraction
from typing import cast
from unittest.mock import Mock

import pytest

from producers.pacing import Pacer
from producers.picture import Picture
from producers.sampling import Sampler
from producers.sources.numbering import Counted, Ranked
from producers.sources.timeline import Timeline


@pytest.mark.parametrize(
    ("seconds", "fps", "taken"),
    [
        ([n / 25 for n in range(50)], 10, 21),
        ([n / 25 for n in range(50)], 25, 50),
        ([n / 25 for n in range(50)], 60, 50),
        ([n / 25 for n in range(250)], 0.5, 6),
        ([round(n / 30, 3) for n in range(300)], 30, 300),  # rounded to ms
        ([round(n / 30, 3) for n in range(300)], 15, 151),
        ([n / 25 + (0.008 if n % 2 else -0.008) for n in range(50)], 25, 50),  # jitter
        ([0.0, 0.0, 0.0, 5.0, 5.0, 9.0], 10, 3),
        ([0.0, 1.0, 2.0, 0.5, 1.5], 1, 5),  # a new connection starts at 0 again
        ([], 5, 0),
    ],
)
def test_the_mean_rate_is_the_target(seconds: list[float], fps: float, taken: int) -> None:
    sampler = Sampler(fps)
    assert sum(sampler.wants(s) for s in seconds) == taken


def test_every_picture_without_a_rate_or_a_time() -> None:
    assert all(Sampler(None).wants(s) for s in (0.0, 0.0, 1.0))
    assert all(Sampler(1).wants(None) for _ in range(3))


@pytest.mark.parametrize("cut", [1, 5, 11, 27])
def test_sampling_goes_on_behind_a_restart(cut: int) -> None:
    seconds = [n / 25 for n in range(50)]
    whole = Sampler(7)
    expected = [s for s in seconds if whole.wants(s)]
    first = Sampler(7)
    before = [s for s in seconds[:cut] if first.wants(s)]
    # Whatever was decoded behind the last one taken was not published: it comes again.
    again = Sampler(7, after=before[-1])
    assert before + [s for s in seconds if s > before[-1] and again.wants(s)] == expected


def picture(seconds: float | None) -> Picture:
    return Picture(Mock(), 0, None, seconds, None, 0, 0)


class Clock:
    """Stands still but for waits; stands in for module time, for `unix_ms` and for the event that ends waits."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def unix_ms(self) -> int:
        return round(self.now * 1000)

    def is_set(self) -> bool:
        return False

    def wait(self, seconds: float) -> bool:
        self.now += seconds
        return False


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("producers.pacing.time", clock)
    monkeypatch.setattr("producers.pacing.unix_ms", clock.unix_ms)
    return clock


@pytest.mark.parametrize(
    ("seconds", "due"),
    [
        ([3.0, 3.05, 3.1, 3.1, 3.2], [0, 0.05, 0.1, 0.1, 0.2]),
        ([0.0, 3600.0, 3600.02, 5.0, 5.02], [0, 0, 0.02, 0.02, 0.04]),  # jumps shift the schedule
        ([0.0, None, 0.1], [0, 0, 0.1]),
    ],
)
def test_pictures_come_when_they_are_due(clock: Clock, seconds: list[float | None], due: list[float]) -> None:
    pacer = Pacer(cast("threading.Event", clock))
    came = []
    for each in seconds:
        assert pacer.wait(picture(each))
        came.append(clock.now - 1000)
    assert came == pytest.approx(due)


@pytest.mark.parametrize(("delay", "captured"), [(0.3, [100, 400]), (2.0, [2000, 2300])])
def test_a_late_picture_was_captured_when_it_was_due(clock: Clock, delay: float, captured: list[int]) -> None:
    """But who is very late need not rush: the schedule is shifted."""
    pacer = Pacer(cast("threading.Event", clock))
    first, *others = picture(0.0), picture(0.1), picture(0.4)
    pacer.wait(first)
    clock.now += delay
    for each in others:
        pacer.wait(each)
    assert [each.captured_ms - first.captured_ms for each in others] == captured


def test_stop_ends_the_wait() -> None:
    stop = threading.Event()
    pacer = Pacer(stop)
    pacer.wait(picture(0.0))
    threading.Timer(0.05, stop.set).start()
    start = time.monotonic()
    assert not pacer.wait(picture(8.0))
    assert time.monotonic() - start < 1


@pytest.mark.parametrize(
    ("stamps", "seconds"),
    [
        ([(0, 0), (1, 1), (2, 2)], [0, 0.1, 0.2]),
        ([(50, 50), (51, 51)], [0, 0.1]),
        ([(0, 0), (None, None), (2, 2)], [0, 0.1, 0.2]),
        ([(None, None), (None, None)], [0, 0.1]),
        ([(None, None), (7, 7), (8, 8)], [0, 0, 0.1]),
        ([(0, 0), (3, 1), (2, 2), (5, 3)], [0, 0.3, 0.3, 0.3]),  # presentation times go back, so decoding times count
        ([(5, None), (4, None), (6, None)], [0, 0, 0.1]),
        ([(100, None), (101, None), (3, None), (4, None)], [0, 0.1, 0.2, 0.3]),  # the clock was set back
        ([(0, 0), (1000, 1000)], [0, 100]),
    ],
)
def test_time_never_goes_back(stamps: list[tuple[int | None, int | None]], seconds: list[float]) -> None:
    timeline = Timeline(Fraction(1, 10), Fraction(10))
    assert [timeline.seconds(*stamp) for stamp in stamps] == pytest.approx(seconds)


def test_ranks_survive_what_is_not_decoded() -> None:
    ranked = Ranked()
    # Decoding order I P B B; the second B can't be decoded. Then one without a time stamp.
    for pts in (0, 3, 1, 2, 4, None):
        ranked.sent(pts)
    assert [ranked.number(pts) for pts in (0, 1, 3, 4, None)] == [0, 1, 3, 4, 5]
    counted = Counted()
    assert [counted.number(pts) for pts in (5, None, 3)] == [0, 1, 2]
