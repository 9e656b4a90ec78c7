"""When a source is opened again, when not, and how long that waits."""

import threading
import time
from collections.abc import Iterator
from unittest.mock import Mock

import pytest

from producers.picture import Picture
from producers.reconnect import OtherKindError, Reconnecting, State
from producers.sources.container import LoginRefusedError
from streamer.errors import SourceError, SourceUnusableError
from tests.clips import quick_settings

BROKEN, UNUSABLE, REFUSED = SourceError("it broke"), SourceUnusableError("no such thing"), LoginRefusedError("refused")
ENDLESS = 10_000


class Scripted:
    """A source that opens or fails as told, gives some pictures, and then ends or fails as told."""

    faults = 1

    def __init__(self, live: bool, opening: Exception | None, count: int, ending: Exception | None) -> None:
        self.live, self._opening, self._count, self._ending = live, opening, count, ending
        self.closed = threading.Event()

    def open(self) -> None:
        if self._opening:
            raise self._opening

    def pictures(self, start_index: int = 0) -> Iterator[Picture]:
        for index in range(start_index, self._count):
            yield Picture(Mock(), index, None, None, None, 0, 0)
        if self._count == ENDLESS:
            self.closed.wait(10)
        if self._ending:
            raise self._ending

    def describe(self) -> str:
        return "scripted"

    def close(self) -> None:
        self.closed.set()


Script = tuple[Exception | None, int, Exception | None]


def run(
    scripts: list[Script], *, live: bool = True, start: int = 0, wanted: int = 100, **settings: object
) -> tuple[list[int], list[State], Exception | None]:
    """Numbers of the pictures, states, and what was raised; stopped after `wanted` pictures or the last script."""
    stop, states = threading.Event(), list[State]()
    left = iter(scripts)

    def make() -> Scripted:
        return Scripted(live, *next(left))

    def report(state: State, reason: str) -> None:
        states.append(state)
        if state is State.WAITING and len([s for s in states if s is State.WAITING]) == len(scripts):
            stop.set()

    numbers = []
    quick = quick_settings(reconnect_min_s=0.01, reconnect_max_s=0.02, **settings)
    source = Reconnecting(make, quick, stop, report, live=live)
    try:
        for picture in source.pictures(start):
            numbers.append(picture.index)
            if len(numbers) == wanted:
                source.close()
    except SourceError as error:
        return numbers, states, error
    assert source.faults == len([s for s in states if s is State.CONNECTING])
    return numbers, states, None


C, R, W, F, E = State.CONNECTING, State.RUNNING, State.WAITING, State.FAILED, State.ENDED


@pytest.mark.parametrize(
    ("scripts", "numbers", "states", "raised"),
    [
        ([(None, 2, None), (None, 2, BROKEN)], [0, 1, 2, 3], [C, R, W, C, R, W], None),
        ([(BROKEN, 0, None), (None, 1, None)], [0], [C, W, C, R, W], None),
        ([(UNUSABLE, 0, None)], [], [C, F], UNUSABLE),
        # What has worked can work again, but a refused password is never tried twice.
        ([(None, 1, None), (UNUSABLE, 0, None), (None, 1, None)], [0, 1], [C, R, W, C, W, C, R, W], None),
        ([(None, 1, None), (REFUSED, 0, None)], [0], [C, R, W, C, F], REFUSED),
    ],
)
def test_live_sources_are_opened_again(
    scripts: list[Script], numbers: list[int], states: list[State], raised: Exception | None
) -> None:
    assert run(scripts) == (numbers, states, raised)


@pytest.mark.parametrize(
    ("scripts", "numbers", "states", "raised"),
    [
        ([(None, 3, None)], [1, 2], [C, R, E], None),
        ([(None, 3, BROKEN)], [1, 2], [C, R, F], BROKEN),
        ([(BROKEN, 0, None)], [], [C, F], BROKEN),
    ],
)
def test_finite_sources_are_not(
    scripts: list[Script], numbers: list[int], states: list[State], raised: Exception | None
) -> None:
    assert run(scripts, live=False, start=1) == (numbers, states, raised)


@pytest.mark.parametrize("live", [True, False])
def test_a_source_that_is_of_another_kind_than_it_looked_gives_nothing(live: bool) -> None:
    stop, source = threading.Event(), Scripted(live, None, 3, None)
    pictures = Reconnecting(lambda: source, quick_settings(), stop, lambda *_: None, live=not live).pictures()
    with pytest.raises(OtherKindError) as found:
        next(pictures)
    assert found.value.live is live
    assert source.closed.is_set()


def test_what_a_finished_stream_leaves_behind_is_not_played_again() -> None:
    stop, reasons = threading.Event(), list[str]()
    sources = iter([Scripted(True, None, 2, None), Scripted(False, None, 9, None), Scripted(True, None, 2, None)])

    def report(state: State, reason: str) -> None:
        reasons.append(reason)
        if "recording" in "".join(reasons) and state is State.RUNNING:
            stop.set()

    quick = quick_settings(reconnect_min_s=0.01, reconnect_max_s=0.02)
    pictures = Reconnecting(lambda: next(sources), quick, stop, report).pictures()
    assert [picture.index for picture in pictures] == [0, 1, 2]
    assert sum("what it offers now is a recording" in reason for reason in reasons) == 1


def test_attempts_in_a_row_are_limited_if_wanted() -> None:
    broken: Script = (BROKEN, 0, None)
    _, states, raised = run([broken, broken, (None, 1, None), broken, broken, broken], reconnect_attempts=3)
    # The connection that broke off counts too.
    assert (states, raised) == ([C, W, C, W, C, R, W, C, W, C, F], BROKEN)


def test_close_ends_a_blocked_read_at_once() -> None:
    stop = threading.Event()
    source = Reconnecting(lambda: Scripted(True, None, ENDLESS, None), quick_settings(), stop, lambda *_: None)
    pictures = source.pictures(ENDLESS - 1)
    next(pictures)
    threading.Timer(0.05, source.close).start()
    start = time.monotonic()
    assert list(pictures) == []
    assert time.monotonic() - start < 1


def test_stop_ends_a_wait_at_once() -> None:
    stop = threading.Event()
    settings = quick_settings(reconnect_min_s=60, reconnect_max_s=60)
    reports: list[str] = []

    def report(state: State, reason: str) -> None:
        reports.append(reason)
        if state is State.WAITING:
            threading.Timer(0.05, stop.set).start()

    start = time.monotonic()
    assert list(Reconnecting(lambda: Scripted(True, BROKEN, 0, None), settings, stop, report).pictures()) == []
    assert time.monotonic() - start < 1
    assert reports[-1].startswith("it broke; trying again in ")
