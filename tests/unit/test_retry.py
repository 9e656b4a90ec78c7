"""How long to wait before trying again, and when to give up."""

import pytest

from streamer import retry
from streamer.retry import Backoff, Retry


def test_waits_grow_are_jittered_and_begin_anew_after_a_good_run() -> None:
    backoff = Backoff(1, 8)
    waits = [backoff.next() for _ in range(6)]
    assert all(top / 2 <= wait <= top for wait, top in zip(waits, [1, 2, 4, 8, 8, 8], strict=True))
    assert len(set(waits)) == 6
    backoff.worked(3)  # shorter than its wait: it would only break again
    assert backoff.next() >= 4
    backoff.worked(9)
    assert backoff.next() <= 1


def test_what_fails_for_too_long_is_given_up_and_a_success_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(retry.time, "monotonic", lambda: now[0])
    tries = Retry(1, 8, timeout_s=10)
    assert 0.5 <= (tries.failed() or 0) <= 1
    now[0] += 9.8
    assert tries.failed() == pytest.approx(0.2), "no longer than the time that is left"
    tries.worked()
    assert 0.5 <= (tries.failed() or 0) <= 1
    now[0] += 10
    assert tries.failed() is None
