"""A consumer as a member of a group: what kafka-python alone would forget or leave undone."""

import math
import time
from collections.abc import Set
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from streamer.broker import poll

if TYPE_CHECKING:
    from kafka import KafkaConsumer, TopicPartition

    from streamer.broker import Offsets, Polled

_UNHEARD_S, _HEARTBEATS = 5.0, 3
"""A member of a group whose heartbeats have no answer for so long, and so many of them, is cut off."""


def poll_group(consumer: "KafkaConsumer", timeout_ms: int, **options: Any) -> "Polled":
    """`consumer.poll` for a member of a group; a join that kafka-python would forget is waited for or begun again.

    3.0.12 forgets one that began because the topic's metadata changed, if the poll's time is up before it is
    complete: the assignment that it computes meanwhile makes the reason go away, nobody waits for the join any more,
    and the member stays between memberships, polling nothing at full speed until the broker removes it.
    """
    from kafka.structs import MemberState

    coordinator = consumer._coordinator  # no public way
    if consumer.group_metadata().state == MemberState.REBALANCING:
        coordinator.request_rejoin()  # without effect on a join that goes on
    if coordinator._join_task is not None and not isinstance(coordinator._join_task, _Join):
        coordinator._join_task = _Join(coordinator._join_task)
    return poll(consumer, timeout_ms, **options)


def answer_group(consumer: "KafkaConsumer") -> None:
    """Polls for the group's sake only: brings nothing, and what is paused stays so."""
    paused = consumer.paused()
    read_only(consumer, set())
    try:
        poll_group(consumer, 0)
    finally:
        read_only(consumer, consumer.assignment() - paused)


def read_only(consumer: "KafkaConsumer", wanted: "Set[TopicPartition]") -> None:
    """Pauses all other partitions, and resumes these."""
    for partition in consumer.assignment():
        with suppress(KeyError):  # taken away in this moment, by kafka-python's own thread
            if partition in wanted:
                consumer.resume(partition)
            else:
                consumer.pause(partition)


def why_unheard(consumer: "KafkaConsumer") -> str | None:
    """Why a member of a group does no work: its coordinator answers nothing. None: it does. From any thread.

    It can't be told from what `poll` brings: in an outage that is nothing, and no error.
    """
    heartbeat = consumer._coordinator.heartbeat  # no public way (kafka-python 3.0.12)
    silent_s = time.monotonic() - max(heartbeat.last_receive, heartbeat.last_reset)
    limit_s = max(_UNHEARD_S, _HEARTBEATS * heartbeat.config["heartbeat_interval_ms"] / 1000)
    return f"Kafka has not answered for {silent_s:.0f} s" if silent_s > limit_s else None


class Lease:
    """Whether a member of a group certainly still has what it was given. From any thread.

    A process that was frozen goes on where it stopped, and doesn't know yet that others took its place: what counts is
    when we asked the last question that the coordinator answered, not when we read the answer. A join is no such
    question: it may have been answered long before a poll takes in what it gave.
    """

    def __init__(self, consumer: "KafkaConsumer") -> None:
        coordinator = self._coordinator = consumer._coordinator  # no public way (kafka-python 3.0.12)
        self._asked = -math.inf
        self._send, coordinator._send_heartbeat_request = coordinator._send_heartbeat_request, self._ask
        self._reset, coordinator.reset_generation = coordinator.reset_generation, self._lost

    def ask_soon(self) -> None:
        """To be called when the group has given us something: the next heartbeat would else be an interval away."""
        self._coordinator._manager.call_soon(self._coordinator._do_heartbeat)

    @property
    def holds(self) -> bool:
        """Not so before the first heartbeat is answered, and not from the moment on in which one is refused."""
        config = self._coordinator.heartbeat.config
        lasts_s = (config["session_timeout_ms"] - config["heartbeat_interval_ms"]) / 1000
        return bool(time.monotonic() - self._asked < lasts_s)

    async def _ask(self) -> None:
        from kafka.errors import RebalanceInProgressError

        asked = time.monotonic()
        try:
            await self._send()
        except RebalanceInProgressError:  # said to members only
            self._asked = asked
            raise
        self._asked = asked

    def _lost(self, *args: Any, **named: Any) -> None:
        """We are not a member any more: a heartbeat, join or commit was refused, or we left."""
        self._asked = -math.inf
        self._reset(*args, **named)


async def commit_while_revoked(consumer: "KafkaConsumer", offsets: "Offsets", timeout_s: float) -> None:
    """`consumer.commit` for a rebalance listener, in whose thread kafka-python (3.0.12) can't wait; no public way.

    Raises:
        KafkaError: they could not be committed in time.
    """
    if offsets:
        await consumer._coordinator._commit_offsets_sync_async(offsets, timeout_s * 1000)


class _Join:
    """A member's join under way, which is never over before somebody has waited for it.

    kafka-python 3.0.12 drops one that ended between two polls and begins another, for which all members give up what
    they have: with short polls on a busy machine again and again (seen: eight instead of one).
    """

    is_done = False

    def __init__(self, join: Any) -> None:
        self._join = join

    def add_callback(self, call: Any) -> None:
        """See kafka.future.Future: at once, if the join is over."""
        self._join.add_callback(call)

    def add_errback(self, call: Any) -> None:
        """See kafka.future.Future: at once, if the join is over."""
        self._join.add_errback(call)

    def __await__(self) -> Any:
        return self._join.__await__()
