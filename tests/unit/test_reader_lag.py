"""Which lanes are held while their readers are behind, with a broker that is played."""

import threading
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from kafka.admin import OffsetSpec
from kafka.errors import NodeNotReadyError
from prometheus_client import REGISTRY

from producers import metrics
from producers.publisher import Publisher
from producers.reader_lag import ReaderLag
from streamer.lifecycle import Deadline
from streamer.settings import Settings
from tests.waiting import eventually

FRAMES = 1000


class Lane:
    """One that has published so many frames, the first at offset 0, and perhaps its end."""

    partition, first_offset = 0, 0

    def __init__(self, stream: str, frames: int) -> None:
        self.stream, self.records, self.record_bytes = stream, frames, frames * 1000
        self.held = threading.Event()
        self.changes: list[bool] = []

    def hold(self, held: bool) -> None:
        self.changes.append(held)
        self.held.set()


@pytest.fixture
def offsets() -> dict[Any, int]:
    return {OffsetSpec.EARLIEST: 0, OffsetSpec.LATEST: FRAMES}


@pytest.fixture
def unread(offsets: dict[Any, int], monkeypatch: pytest.MonkeyPatch) -> Mock:
    """The admin client for a partition of frames too old to be unread, whose reader hasn't begun."""

    def look_up(wanted: dict[Any, Any]) -> dict[Any, Any]:
        return {each: SimpleNamespace(offset=offsets.get(what, FRAMES)) for each, what in wanted.items()}

    admin = Mock(list_partition_offsets=look_up, list_group_offsets=lambda groups: {})
    monkeypatch.setattr("producers.reader_lag.connect_admin", lambda _: admin)
    monkeypatch.setattr("producers.reader_lag.INTERVAL_S", 0.01)
    return admin


def test_a_file_without_a_frame_disturbs_no_other(unread: None) -> None:
    empty, full = Lane("empty", 0), Lane("full", FRAMES)
    lag = ReaderLag(Settings(), lambda: {empty: ["main"], full: ["main"]})  # type: ignore[dict-item]
    lag.start()
    try:
        assert full.held.wait(5)
    finally:
        lag.close(Deadline(5))


def test_a_file_that_is_held_and_let_go_all_the_time_says_so_now_and_then(
    unread: None, offsets: dict[Any, int], caplog: pytest.LogCaptureFixture
) -> None:
    lane = Lane("full", FRAMES)

    def turn_about() -> dict[Any, list[str]]:
        # All is read, then nothing: the log begins at its end, or at its beginning.
        offsets[OffsetSpec.EARLIEST] = FRAMES - offsets[OffsetSpec.EARLIEST]
        return {lane: ["main"]}

    lag = ReaderLag(Settings(), turn_about)
    lag.start()
    try:
        eventually(lambda: len(lane.changes) > 5, "it is held and let go")
    finally:
        lag.close(Deadline(5))
    assert [record.message for record in caplog.records] == ["waits: pipeline main is behind, or not running"]


def test_an_error_that_nobody_foresaw_lets_files_go_on_is_told_once_and_can_pass(
    unread: Mock, caplog: pytest.LogCaptureFixture
) -> None:
    lane = Lane("full", FRAMES)
    lag = ReaderLag(Settings(), lambda: {lane: ["main"]})  # type: ignore[dict-item]
    lag.start()
    try:
        eventually(lambda: lane.changes == [True], "it is held")
        unread.list_group_offsets = Mock(side_effect=KeyError("group"))
        eventually(lambda: unread.list_group_offsets.call_count > 3, "it is looked for again")
        assert lane.changes == [True, False]
        unread.list_group_offsets = lambda groups: {}
        eventually(lambda: lane.changes == [True, False, True], "it is held again")
    finally:
        lag.close(Deadline(5))
    assert [record.message for record in caplog.records if record.exc_info] == [
        "files go on, whatever their readers do: KeyError"
    ]


def test_an_answer_that_does_not_come_is_not_waited_for_at_the_end(unread: Mock) -> None:
    asked, answered = threading.Event(), threading.Event()

    def look_up(wanted: dict[Any, Any]) -> dict[Any, Any]:
        asked.set()
        answered.wait(20)
        raise NodeNotReadyError

    unread.list_partition_offsets = look_up
    lag = ReaderLag(Settings(), lambda: {Lane("full", FRAMES): ["main"]})  # type: ignore[dict-item]
    lag.start()
    assert asked.wait(5)
    lag.close(Deadline(0))
    assert lag._thread.is_alive()
    unread.close.assert_not_called()  # in use
    answered.set()
    eventually(lambda: unread.close.called, "it is closed by its own thread")


def test_of_a_file_that_is_over_no_figure_comes_back(unread: Mock) -> None:
    def figure() -> float | None:
        return REGISTRY.get_sample_value("streamer_source_held", {"stream": "over"})

    publisher = Publisher(Settings())
    publisher._partitions = [0]
    lane = publisher.lane("over", waits=True)
    lane.first_offset, lane.records, lane.record_bytes = 0, FRAMES, FRAMES * 1000
    waiting = {lane: ["main"]}
    lag = ReaderLag(Settings(), lambda: waiting)
    lag.start()
    try:
        eventually(lambda: figure() == 1, "it is held")
        metrics.forget("over")
        waiting = {}
        eventually(lambda: not lane.held, "it is let go")
    finally:
        lag.close(Deadline(5))
    assert figure() is None
