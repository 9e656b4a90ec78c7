"""Files wait for their readers: looks how far the pipelines are behind, and holds lanes before retention bites.

The log deletes by age and by size, read or not. A camera can't wait; a file can, and must, or frames that nobody has
read are gone. Only where every frame counts: elsewhere those that wait too long are skipped anyway.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from producers.lane import Lane
from streamer.broker import connect_admin
from streamer.errors import ServiceError
from streamer.lifecycle import Deadline
from streamer.settings import Settings
from streamer.topics import topic_names

if TYPE_CHECKING:
    from kafka import KafkaAdminClient, TopicPartition

log = logging.getLogger(__name__)

INTERVAL_S = 1.0
BYTES_SHARE = 0.5
"""Of the topic's size: more must not be unread."""
CATCH_UP_SHARE = 0.25
"""Of the topic's age: a reader must be able to catch up in so much, at its present rate."""
UNREAD_SHARE = 0.1
"""Of the topic's age: older frames must not be unread where no reader has begun, its rate is not known yet."""
RELEASE = 0.8
"""A lane that is held goes on at this share of what holds it, not to be held again at once."""
SMOOTHING = 0.3
QUIET_S = 60.0
"""A file at full speed may be held and let go every second for hours: each says so no more often than this."""


@dataclass
class _Reader:
    """One group on one partition. rate: records per second, None until it has moved."""

    committed: int = -1
    looked_at: float = 0.0
    rate: float | None = None

    def look(self, committed: int, now: float) -> None:
        if self.committed >= 0 and now > self.looked_at:
            rate = max(committed - self.committed, 0) / (now - self.looked_at)
            if self.rate is not None:
                rate = self.rate + SMOOTHING * (rate - self.rate)
            self.rate = rate
        self.committed, self.looked_at = committed, now


@dataclass(frozen=True)
class _Span:
    """Offsets of a partition: its first, behind its last, and the first that is young enough for UNREAD_SHARE."""

    begin: int
    end: int
    young: int


class ReaderLag:
    """Watches from a thread of its own between start() and close().

    waiting: the lanes that can wait, each with the pipelines that read it.
    """

    def __init__(self, settings: Settings, waiting: Callable[[], Mapping[Lane, Collection[str]]]) -> None:
        self._settings, self._waiting = settings, waiting
        self._names = topic_names(settings.kafka)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reader lag", daemon=True)
        self._admin: KafkaAdminClient | None = None
        self._readers: dict[tuple[str, int], _Reader] = {}
        self._held: set[Lane] = set()
        self._told: dict[Lane, float] = {}
        self._blind = self._broken = False  # and has said so

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def close(self, deadline: Deadline) -> None:
        """Ends; lanes that are held stay so. What Kafka hasn't answered by then is left to the thread."""
        self._closing.set()
        self._thread.join(deadline.remaining())

    def _run(self) -> None:
        while not self._closing.wait(INTERVAL_S):
            try:
                self._round()
            except Exception as error:  # the thread's edge: what is held by what we no longer see would wait for ever
                if not self._broken:
                    log.exception("files go on, whatever their readers do: %s", type(error).__name__)
                self._broken = True
                self._let_go(self._held)
        if self._admin is not None:
            self._admin.close()

    def _round(self) -> None:
        from kafka.errors import KafkaError

        lanes = {lane: groups for lane, groups in self._waiting().items() if lane.first_offset is not None}
        self._let_go(self._held - lanes.keys())  # they need not wait any more: another freshness, or they are over
        self._told = {lane: told for lane, told in self._told.items() if lane in lanes}
        if not lanes:
            return
        try:
            self._look(lanes)
            self._blind = self._broken = False
        except (KafkaError, ServiceError) as error:
            # Nothing is decided on what we don't know: a broker that is away holds the lanes by itself.
            if not self._blind:
                log.warning("can't see how far the readers are: %s", error)
            self._blind = True

    def _let_go(self, lanes: Collection[Lane]) -> None:
        for lane in lanes:
            self._set_held(lane, False)

    def _look(self, lanes: Mapping[Lane, Collection[str]]) -> None:
        spans = self._spans({lane.partition for lane in lanes})
        pipelines = {pipeline for names in lanes.values() for pipeline in names}
        committed = self._committed(pipelines, spans.keys())
        now = time.monotonic()
        for (pipeline, partition), offset in committed.items():
            if offset >= 0:
                self._readers.setdefault((pipeline, partition), _Reader()).look(offset, now)
        for lane, names in lanes.items():
            span = spans[lane.partition]
            behind = {name: self._behind(lane, span, name, committed[name, lane.partition]) for name in names}
            slowest = max(behind, key=lambda name: behind[name])
            self._decide(lane, behind[slowest], slowest)

    def _behind(self, lane: Lane, span: _Span, pipeline: str, committed: int) -> float:
        """How far a reader is behind; at 1 the file must wait."""
        topics = self._settings.topics
        # What lies before its own first frame is not this file's to wait for.
        position = max(committed, span.begin, lane.first_offset or 0)
        unread = max(span.end - position, 0)
        # One that has sent its end and nothing else has no size of a record.
        by_bytes = unread * lane.record_bytes / max(lane.records, 1) / (BYTES_SHARE * topics.frames_retention_bytes)
        reader = self._readers.get((pipeline, lane.partition))
        if committed >= 0 and reader and reader.rate:
            return max(by_bytes, unread / reader.rate / (CATCH_UP_SHARE * topics.frames_retention_s))
        too_old = unread > 0 and position < span.young
        return max(by_bytes, 1.0 if too_old else 0.0)

    def _decide(self, lane: Lane, behind: float, slowest: str) -> None:
        held = behind >= (RELEASE if lane in self._held else 1.0)
        if held != (lane in self._held):
            text = f"waits: pipeline {slowest} is behind, or not running" if held else "goes on: its reader catches up"
            self._tell(lane, text)
            self._set_held(lane, held)

    def _tell(self, lane: Lane, text: str) -> None:
        now = time.monotonic()
        if now - self._told.get(lane, -QUIET_S) >= QUIET_S:
            self._told[lane] = now
            log.warning(text, extra={"stream": lane.stream})

    def _set_held(self, lane: Lane, held: bool) -> None:
        self._held = self._held | {lane} if held else self._held - {lane}
        lane.hold(held)

    def _spans(self, partitions: Collection[int]) -> dict[int, _Span]:
        from kafka.admin import OffsetSpec

        admin, these = self._connected(), self._topic_partitions(partitions)
        young_ms = round((time.time() - UNREAD_SHARE * self._settings.topics.frames_retention_s) * 1000)
        begins = admin.list_partition_offsets(dict.fromkeys(these, OffsetSpec.EARLIEST))
        ends = admin.list_partition_offsets(dict.fromkeys(these, OffsetSpec.LATEST))
        young = admin.list_partition_offsets(dict.fromkeys(these, young_ms))
        spans = {}
        for each in these:
            end, first_young = ends[each].offset, young[each].offset
            # Kafka answers -1 where no record is that young.
            spans[each.partition] = _Span(begins[each].offset, end, first_young if first_young >= 0 else end)
        return spans

    def _committed(self, pipelines: Collection[str], partitions: Collection[int]) -> dict[tuple[str, int], int]:
        """Offset per pipeline and partition; -1: it has not read there yet."""
        these = self._topic_partitions(partitions)
        groups = {self._names.worker_group(pipeline): pipeline for pipeline in pipelines}
        found = self._connected().list_group_offsets(dict.fromkeys(groups, these))
        return {
            (pipeline, each.partition): found[group][each].offset if each in found.get(group, {}) else -1
            for group, pipeline in groups.items()
            for each in these
        }

    def _topic_partitions(self, partitions: Collection[int]) -> "list[TopicPartition]":
        from kafka import TopicPartition

        return [TopicPartition(self._names.frames, partition) for partition in sorted(partitions)]

    def _connected(self) -> "KafkaAdminClient":
        if self._admin is None:
            self._admin = connect_admin(self._settings.kafka)
        return self._admin
