"""Which lanes are held while their readers are behind, with a broker that is played."""

import threading
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from kafka.admin import OffsetSpec

from producers.reader_lag import ReaderLag
from streamer.settings import Settings
from tests.integration.producer_rig import eventually

FRAMES = 1000


class Lane:
    """One that has published so many frames, the first at offset 0, and perhaps its end."""

    partition, first_offset = 0, 0

    def __init__(self, stream: str, frames: int) -> None:
        self.stream, self.records, self.record_bytes = stream, frames, frames * 1000
        self.held = threading.Event()

        self.changes = 0

    def hold(self, held: bool) -> None:
        self.changes += 1
        self.held.set()


@pytest.fixture
def offsets() -> dict[Any, int]:
    return {OffsetSpec.EARLIEST: 0, OffsetSpec.LATEST: FRAMES}


@pytest.fixture
def unread(offsets: dict[Any, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """A partition of frames too old to be unread, whose reader hasn't begun."""

    def look_up(wanted: dict[Any, Any]) -> dict[Any, Any]:
        return {each: SimpleNamespace(offset=offsets.get(what, FRAMES)) for each, what in wanted.items()}

    admin = Mock(list_partition_offsets=look_up, list_group_offsets=lambda groups: {})
    monkeypatch.setattr("producers.reader_lag.connect_admin", lambda _: admin)
    monkeypatch.setattr("producers.reader_lag.INTERVAL_S", 0.01)


def test_a_file_without_a_frame_disturbs_no_other(unread: None) -> None:
    empty, full = Lane("empty", 0), Lane("full", FRAMES)
    lag = ReaderLag(Settings(), lambda: {empty: ["main"], full: ["main"]})  # type: ignore[dict-item]
    lag.start()
    try:
        assert full.held.wait(5)
    finally:
        lag.close()


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
        eventually(lambda: lane.changes > 5, "it is held and let go")
    finally:
        lag.close()
    assert [record.message for record in caplog.records] == ["waits: pipeline main is behind, or not running"]
