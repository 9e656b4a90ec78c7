"""Which lanes are held while their readers are behind, with a broker that is played."""

import threading
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from kafka.admin import OffsetSpec

from producers.reader_lag import ReaderLag
from streamer.settings import Settings

FRAMES = 1000


class Lane:
    """One that has published so many frames, the first at offset 0, and perhaps its end."""

    partition, first_offset = 0, 0

    def __init__(self, stream: str, frames: int) -> None:
        self.stream, self.records, self.record_bytes = stream, frames, frames * 1000
        self.held = threading.Event()

    def hold(self, held: bool) -> None:
        assert held
        self.held.set()


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """A partition of frames too old to be unread, whose reader hasn't begun."""
    offsets = {OffsetSpec.EARLIEST: 0, OffsetSpec.LATEST: FRAMES}

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
