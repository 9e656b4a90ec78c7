"""What was given by a group is ours for as long as it has certainly not been given to another."""

import asyncio
import time
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, cast

import pytest
from kafka.errors import KafkaConnectionError, RebalanceInProgressError, UnknownMemberIdError

from streamer.group import Lease

SESSION_S, INTERVAL_S = 6.0, 1.0


class Member:
    """A consumer, and the coordinator that answers its heartbeats."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        config = {"session_timeout_ms": SESSION_S * 1000, "heartbeat_interval_ms": INTERVAL_S * 1000}
        self.heartbeat = SimpleNamespace(config=config)
        self.answer: Exception | None = None
        self.takes_s, self.reset = 0.0, False
        self._coordinator = self
        self.lease = Lease(cast(Any, self))

    async def _send_heartbeat_request(self) -> None:
        self.now += self.takes_s
        if isinstance(self.answer, UnknownMemberIdError):
            self.reset_generation()
        if self.answer:
            raise self.answer

    def reset_generation(self, member_id: str = "") -> None:
        self.reset = True

    def asks(self, answer: Exception | None = None, takes_s: float = 0.0) -> None:
        """takes_s: from the question on until its answer is read."""
        self.answer, self.takes_s = answer, takes_s

        async def send() -> None:
            with suppress(RebalanceInProgressError, UnknownMemberIdError, KafkaConnectionError):
                await self._send_heartbeat_request()

        asyncio.run(send())


@pytest.fixture
def member(monkeypatch: pytest.MonkeyPatch) -> Member:
    return Member(monkeypatch)


@pytest.mark.parametrize("answer", [None, RebalanceInProgressError()])
def test_nothing_is_ours_before_the_coordinator_has_answered(member: Member, answer: Exception | None) -> None:
    assert not member.lease.holds
    member.asks(KafkaConnectionError())
    assert not member.lease.holds
    member.asks(answer)
    assert member.lease.holds


def test_it_ends_before_the_coordinator_gives_it_to_others(member: Member) -> None:
    member.asks()
    member.now += SESSION_S - INTERVAL_S - 0.01
    member.asks(KafkaConnectionError())
    assert member.lease.holds
    member.now += 0.02
    assert not member.lease.holds


def test_an_answer_that_is_read_late_says_nothing_of_now(member: Member) -> None:
    """Frozen between question and answer."""
    member.asks(takes_s=9)
    assert not member.lease.holds
    member.asks(takes_s=0.1)
    assert member.lease.holds


def test_it_ends_when_a_heartbeat_is_refused(member: Member) -> None:
    member.asks()
    member.asks(UnknownMemberIdError())
    assert not member.lease.holds
    assert member.reset


def test_it_ends_when_we_leave_the_group(member: Member) -> None:
    member.asks()
    member.reset_generation("another")
    assert not member.lease.holds
    assert member.reset
