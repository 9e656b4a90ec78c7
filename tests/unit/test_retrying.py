"""Frames that fail are tried again alone, and condemned only after all of their tries."""

import threading
from collections.abc import Sequence
from typing import Any

import pytest

from consumers.entry import Entry
from consumers.ledger import Ledger
from consumers.poison.retrying import Retrying
from consumers.positions import Positions
from streamer.records import FrameHeader, FrameId, GapReason
from streamer.settings import DetectSettings


class Rig:
    """Two frames that a lane has taken, and a detector that fails at each as long as it is `full`."""

    def __init__(self) -> None:
        self.stopping, self.full, self.began = threading.Event(), True, 0
        self.condemned: list[Entry] = []
        self.ledger = Ledger("main")
        self.ledger.open(0, Positions({}))
        self.entries = [
            Entry(0, n, "member", FrameHeader("a", FrameId(1, n), 0, n, 64, 48, 64, 48, (1, 0, 0, 0, 1, 0)), b"", 0)
            for n in range(2)
        ]
        for entry in self.entries:
            self.ledger.register(entry, 0)
            entry.taken = True
        self.retrying = Retrying(DetectSettings(), self._work, lambda: None, self._condemn, self.stopping)

    def _work(self, entries: Sequence[Entry]) -> None:
        self.began += 1
        if self.full:
            raise MemoryError
        for entry in entries:
            self.ledger.finish(entry, GapReason.REFUSED)

    def _condemn(self, entry: Entry, reason: str) -> None:
        self.condemned.append(entry)
        self.ledger.finish(entry, GapReason.DEAD)


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Rig:
    monkeypatch.setattr("consumers.poison.retrying._SHORTEST_S", 0.001)
    monkeypatch.setattr("consumers.poison.retrying._LONGEST_S", 0.001)
    return Rig()


def test_a_frame_that_fails_at_all_of_its_tries_is_condemned(rig: Rig) -> None:
    rig.retrying.work(rig.entries)
    assert rig.condemned == rig.entries
    assert rig.began == 1 + 2 * DetectSettings().tries


def test_what_fails_while_the_worker_stops_is_left_to_the_next_owner(rig: Rig) -> None:
    """The memory is full for a moment: without a pause between them, tries are soon over."""
    rig.stopping.set()
    rig.retrying.work(rig.entries)
    assert not rig.condemned
    assert rig.began == 1
    assert rig.ledger.close([0], 0), "nobody waits for it"


def test_a_stop_between_two_tries_ends_them(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    work = rig.retrying._work

    def stopping(entries: Sequence[Entry]) -> Any:
        if rig.began == 2:
            rig.stopping.set()
        work(entries)

    monkeypatch.setattr(rig.retrying, "_work", stopping)
    rig.retrying.work(rig.entries)
    assert not rig.condemned
    assert not any(entry.done for entry in rig.entries)
