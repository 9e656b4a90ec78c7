"""What was given by a group is ours for as long as it has certainly not been given to another."""

import time
from types import SimpleNamespace
from typing import Any, cast

import pytest

from streamer.group import Lease

SESSION_S, INTERVAL_S = 6.0, 1.0


class Member:
    """A consumer whose heartbeats were sent, and answered, so many seconds ago."""

    def __init__(self) -> None:
        config = {"session_timeout_ms": SESSION_S * 1000, "heartbeat_interval_ms": INTERVAL_S * 1000}
        self.heartbeat = SimpleNamespace(config=config, last_send=float("-inf"), last_receive=float("-inf"))
        self._coordinator = self
        self.lease = Lease(cast(Any, self))

    def heard(self, sent_s: float, answered_s: float) -> "Member":
        now = time.monotonic()
        self.heartbeat.last_send, self.heartbeat.last_receive = now - sent_s, now - answered_s
        return self


@pytest.fixture
def member() -> Member:
    return Member()


def test_nothing_is_ours_before_the_group_has_given_it(member: Member) -> None:
    assert not member.lease.holds
    member.lease.given()
    assert member.lease.holds


def test_it_is_ours_while_the_coordinator_answers(member: Member) -> None:
    assert member.heard(sent_s=1, answered_s=0.9).lease.holds
    assert member.heard(sent_s=0, answered_s=1).lease.holds, "the next question is on its way"


def test_an_answer_that_is_read_late_says_nothing_of_now(member: Member) -> None:
    """Frozen between question and answer."""
    assert not member.heard(sent_s=9, answered_s=0).lease.holds
    assert not member.heard(sent_s=0, answered_s=0.1).lease.holds, "nor does it while the next question is on its way"


def test_it_ends_before_the_coordinator_gives_it_to_others(member: Member) -> None:
    assert not member.heard(sent_s=SESSION_S - INTERVAL_S + 0.01, answered_s=0).lease.holds
    assert member.heard(sent_s=SESSION_S - INTERVAL_S - 0.5, answered_s=4).lease.holds
