"""When the committer commits, whatever Kafka makes of it."""

import threading

import pytest

from consumers.commit import Committer
from consumers.entry import Entry, Row
from consumers.ledger import Ledger
from consumers.positions import Positions
from streamer.errors import ServiceError
from streamer.records import EndHeader, FrameHeader, FrameId, Gap, GapReason
from streamer.retry import Retry
from streamer.settings import DetectSettings, Settings


@pytest.mark.parametrize("patient", [False, True])
def test_what_is_more_than_one_transaction_takes_does_not_wait_for_the_next_interval(
    monkeypatch: pytest.MonkeyPatch, patient: bool
) -> None:
    monkeypatch.setattr("consumers.commit._PATIENT_S", 3600)
    monkeypatch.setattr("consumers.commit._FEW", 1e-3)
    monkeypatch.setattr("consumers.commit._STRETCH", 360)
    ledger, sizes, all_there = Ledger("main"), [], threading.Event()
    ledger.open(0, Positions({}))
    for number in range(2500):
        header = FrameHeader("a", FrameId(1, number), 0, number, 64, 48, 64, 48, (1, 0, 0, 0, 1, 0))
        entry = Entry(0, number, "member", header, b"", 0, patient=patient)
        ledger.register(entry, 0)
        ledger.finish(entry, GapReason.REFUSED)

    def committed(rows: list[Row], certain: bool) -> None:
        sizes.append(sum(row.record.count or 0 for row in rows if isinstance(row.record, Gap)))
        if sum(sizes) == 2500:
            all_there.set()

    settings = Settings(detect=DetectSettings(commit_interval_ms=10_000))
    committer = Committer(settings, ledger, lambda batch: None, committed, lambda offsets: None, "w")
    monkeypatch.setattr(committer, "_write", lambda batch: True)
    committer.start()
    try:
        assert all_there.wait(60)
        assert sizes == [1000, 1000, 500]
    finally:
        committer.stop()
        committer.join(20)
    assert not committer.is_alive()


def test_who_is_told_to_stop_does_not_wait_for_the_next_try(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its partitions are given up by then: the batch is their next owner's."""
    monkeypatch.setattr("consumers.commit._RETRY_S", 3600)
    monkeypatch.setattr("consumers.commit._RETRY_MOST_S", 3600)
    ledger, rows, waiting = Ledger("main"), [], threading.Event()
    ledger.open(0, Positions({}))
    ledger.register(Entry(0, 0, "member", EndHeader("a", FrameId(1, 0), 0), b"", 0), 0)
    committer = Committer(
        Settings(), ledger, lambda batch: None, lambda new, certain: rows.extend(new), lambda offsets: None, "w"
    )
    wait_out = committer._wait_out

    def failing() -> None:
        raise ServiceError("no broker")

    def waits(error: Exception, tries: Retry) -> bool:
        waiting.set()
        return wait_out(error, tries)

    monkeypatch.setattr(committer, "open", failing)
    monkeypatch.setattr(committer, "_wait_out", waits)
    committer.start()
    assert waiting.wait(20)
    ledger.close([0], 0)
    committer.stop()
    committer.join(20)
    assert not committer.is_alive()
    assert committer.failed is None
    assert rows == []
