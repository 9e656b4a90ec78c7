"""The worker's end of `frames`: polls, restores positions, and decides what each record is."""

import logging
import threading
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from consumers.choose import Chooser
from consumers.entry import Entry
from consumers.follow import Followers
from consumers.lanes.motion_gate import MotionGate
from consumers.ledger import Ledger
from consumers.mirroring.mirror import Mirror
from consumers.plain_offsets import PlainOffsets
from consumers.poison.isolation import POLL_RECORDS, Isolation, Polled
from consumers.positions import load_positions, newest
from consumers.state import StateReader
from consumers.telemetry import metrics
from consumers.treatment import Treatments
from streamer.broker import connect_consumer, set_fetch, topic_missing
from streamer.errors import RecordError, ServiceError
from streamer.group import answer_group, commit_while_revoked, poll_group, why_unheard
from streamer.lifecycle import Deadline
from streamer.moments import unix_ms
from streamer.records import DeadCause, Death, EndHeader, FrameHeader, GapReason, parse_headers
from streamer.settings import Settings
from streamer.topics import topic_names

if TYPE_CHECKING:
    from kafka import KafkaConsumer, TopicPartition
    from kafka.consumer.fetcher import ConsumerRecord

log = logging.getLogger(__name__)

_BUSY = 2  # waiting frames: then no lane waits for one
_BUSY_S = 0.08
_ANY, _MANY = (1, 500), (256 << 10, 50)  # bytes, ms: how much the broker waits for, and how long, until it answers
_FULL_S = 1.0  # without room for so long, poll for the group's sake only
_BEHIND_MS = 2000  # beyond a frame's bound: skip to the fresh end of the log rather than read it all
_STANDS_S = 10.0  # without room for so long, something is wrong: a commit takes a fraction of a second
_REVOKE_S = 3.0  # below the smallest useful session timeout: heartbeats stop meanwhile


class Intake:
    """Owns the consumer; everything but the rebalance callbacks runs in the thread that calls `step`.

    plain_offsets: where the committer leaves offsets that are not part of a transaction.
    """

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        chooser: Chooser,
        mirror: Mirror,
        treatments: Treatments,
        followers: Followers,
        gate: MotionGate,
    ) -> None:
        self._settings, self._ledger, self._chooser, self._followers = settings, ledger, chooser, followers
        self._mirror, self._treatments, self._gate = mirror, treatments, gate
        self._names = topic_names(settings.kafka)
        self.plain_offsets = PlainOffsets(self._names.frames, ledger)
        self._isolation = Isolation(settings.detect, ledger, self._learn, self._take_in, self._flush_offsets)
        self._consumer: KafkaConsumer | None = None
        self._stopping = threading.Event()
        self._leaving: Deadline | None = None
        self._full_since: float | None = None  # more is under way than may be
        self._next_offset: dict[int, int] = {}
        self._tracked: frozenset[str] = frozenset()
        self._stepped_over: dict[int, GapReason] = {}  # why the log before a partition's next record was not read
        self._era = 0  # how often partitions were given up
        self._came = False  # partitions that are not taken over yet
        self._era_lock = threading.Lock()
        pipeline = settings.detect.pipeline
        self._strangers = metrics.STRANGERS.labels(pipeline)
        self._partitions = metrics.PARTITIONS.labels(pipeline)

    def open(self, stopping: threading.Event) -> None:
        """Joins the pipeline's group.

        stopping: ends a take-over that is under way.

        Raises:
            ServiceError: no broker, no rights, no topic.
        """
        kafka, self._stopping = self._settings.kafka, stopping
        consumer = connect_consumer(
            kafka,
            group_id=self._names.worker_group(self._settings.detect.pipeline),
            group_instance_id=kafka.instance if self._settings.detect.static_membership else None,
            partition_assignment_strategy=_assignors(),
            max_partition_fetch_bytes=2 << 20,
            fetch_max_bytes=16 << 20,
        )
        self._consumer = consumer
        self._treatments.partitions = self._partition_count(consumer)
        consumer.subscribe([self._names.frames], listener=_listener(self))

    def _partition_count(self, consumer: "KafkaConsumer") -> int:
        """Of `frames`; what is written of a partition's frames goes to the partitions of its number elsewhere."""
        frames = consumer.partitions_for_topic(self._names.frames)
        if not frames:
            raise topic_missing(self._settings.kafka, self._names.frames)
        for topic in (self._names.detections, self._names.events, self._names.state):
            numbers = consumer.partitions_for_topic(topic)
            if not numbers:
                raise topic_missing(self._settings.kafka, topic)
            if len(numbers) < len(frames):
                raise ServiceError(
                    f"topic {topic} has {len(numbers)} partitions and {self._names.frames} {len(frames)}: what is "
                    "found in a frame goes to the partition of its number; add partitions"
                )
        return len(frames)

    def why_idle(self) -> str | None:
        """Why nothing is taken in, if Kafka does not answer or what is here doesn't get done; from any thread."""
        full_since = self._full_since
        if full_since is not None and (full_s := time.monotonic() - full_since) > _STANDS_S:
            return f"{self._ledger.depth()} frames have waited for {full_s:.0f} s to be committed"
        return why_unheard(self._consumer) if self._consumer is not None else None

    def step(self, timeout_ms: int) -> None:
        """Polls once and hands the frames on."""
        assert self._consumer is not None
        self._treatments.refresh()
        self.plain_offsets.commit(self._consumer)
        # While frames wait, all lanes are busy: what comes now isn't needed sooner, and many at once cost less.
        set_fetch(self._consumer, *(_MANY if self._chooser.depth() >= _BUSY else _ANY))
        self._chooser.wait_until_low(_BUSY_S)
        if not (self._may_take_more() and self._chooser.wait_for_room(_FULL_S)):
            answer_group(self._consumer)
            return
        if self._came:
            self._take_over()
        if self._isolation.active:
            self._isolation.step(self._consumer, timeout_ms)
        else:
            self._poll(timeout_ms)

    def _may_take_more(self) -> bool:
        room = self._ledger.wait_for_room(_FULL_S)
        self._full_since = None if room else self._full_since or time.monotonic()
        return room

    def _poll(self, timeout_ms: int) -> None:
        """Takes in what a poll brings, all of it or nothing: then it comes again."""
        from kafka.errors import KafkaError

        assert self._consumer is not None
        polled = poll_group(self._consumer, timeout_ms, max_records=POLL_RECORDS)
        if not polled:
            return
        # Captured with the poll that brought the frames. A generation below zero is no member: committing
        # as such would not be fenced, so such frames are left for the next poll after joining again.
        membership = self._consumer.group_metadata()
        polled_ms = unix_ms()
        # What came before the partition was taken over comes again.
        ours = {
            partition: records
            for partition, records in polled.items()
            if membership.generation_id >= 0 and self._ledger.owns(partition.partition)
        }
        try:
            self._isolation.begin(self._consumer, ours)
        except (KafkaError, ServiceError):
            self._give_back(ours)
            raise
        for partition, records in ours.items():
            for record in records:
                self._take_in(Polled(partition, record, membership, polled_ms))
        # It asks Kafka, which may fail: by then all that was polled is taken in.
        for partition, records in ours.items():
            frames = [record.timestamp for record in records if record.value]
            if frames:
                self._skip_if_behind(partition, min(frames), polled_ms)

    def _give_back(self, polled: "dict[TopicPartition, list[ConsumerRecord]]") -> None:
        """Has records come again."""
        assert self._consumer is not None
        for partition, records in polled.items():
            with suppress(ValueError, AssertionError):  # taken away meanwhile
                self._consumer.seek(partition, records[0].offset)

    def _take_over(self) -> None:
        """Restores what is known of partitions that have come, and has them read from their committed offsets.

        kafka-python keeps a partition's position when the same member gets it again, so without the seek the
        frames that were let go with the old membership would never come.
        """
        assert self._consumer is not None
        with self._era_lock:
            if not self._came:
                return  # a rebalance has begun meanwhile
            era, self._came = self._era, False
        try:
            self._treatments.catch_up()  # we may have been frozen: what is restored depends on the definitions
            self._resume()
            with closing(StateReader(self._settings, self._stopping)) as states:
                for partition in self._consumer.assignment():
                    if not self._ledger.owns(partition.partition):
                        self._restore(partition, era, states)
        except BaseException:
            # Tried again as a whole: until then nothing of these partitions is taken in.
            with self._era_lock:
                self._came = self._came or era == self._era
            raise

    def _restore(self, partition: "TopicPartition", era: int, states: StateReader) -> None:
        assert self._consumer is not None
        committed = self._consumer.committed(partition, metadata=True, timeout_ms=10_000)
        try:
            # Not seek_to_beginning: its reset is lost now and then if a fetch is under way (kafka-python 3.0.12).
            start = committed.offset if committed else self._consumer.beginning_offsets([partition])[partition]
            self._consumer.seek(partition, start)
        except (ValueError, AssertionError):
            return  # taken away meanwhile
        positions = load_positions(committed.metadata if committed else None)
        # Behind the committed offset, which is given out when the last owner's transaction is over.
        # One that is nowhere would be looked for in all of the topic's partition.
        wanted = {stream for stream, position in positions.streams.items() if position.has_state}
        known = states.load(partition.partition, wanted & self._treatments.tracked())
        with self._era_lock:
            # Rebalances run in kafka-python's own thread: what was given up while we asked is not ours.
            if era == self._era:
                events = self._followers.open(partition.partition, known)
                self._mirror.check(partition.partition, newest(positions), events)
                self._next_offset[partition.partition] = start
                self._stepped_over.pop(partition.partition, None)
                self._ledger.open(partition.partition, positions, start)
                self._isolation.opened(partition, positions.attempt)

    def _learn(self, partition: "TopicPartition", records: "Sequence[ConsumerRecord]") -> None:
        self._treatments.learn((record.key or b"").decode(errors="replace") for record in records)
        self._resume()
        # One poll brings what is in a row; retention comes between two. A record that couldn't be read leaves a hole in
        # the offsets, too.
        expected = self._next_offset.get(partition.partition, records[0].offset)
        if expected < records[0].offset:
            assert self._consumer is not None
            if expected < self._consumer.beginning_offsets([partition])[partition]:
                self._stepped_over[partition.partition] = GapReason.EXPIRED

    def _resume(self) -> None:
        """Streams that are tracked from now on may have been before, in this epoch: ids and events are numbered on."""
        tracked = self._treatments.tracked()
        if tracked is self._tracked:
            return
        assert self._consumer is not None
        with closing(StateReader(self._settings, self._stopping)) as states:
            for number in {partition.partition for partition in self._consumer.assignment()}:
                wanted = (tracked - self._tracked) & self._ledger.with_state(number)
                self._followers.resume(number, states.load(number, wanted))
        self._tracked = tracked

    def _take_in(self, polled: Polled, begun: int = 0) -> None:
        """begun: so often was the frame begun that it is dead; 0: it may be begun."""
        number = polled.partition.partition
        self._next_offset[number] = polled.record.offset + 1
        entry = self._entry(polled)
        entry.stepped_over = self._stepped_over.pop(number, None)
        self._offer(entry, begun)

    def _entry(self, polled: Polled) -> Entry:
        number, record = polled.partition.partition, polled.record
        header: FrameHeader | EndHeader | None
        dead: Death | None = None
        try:
            header = parse_headers(record.headers, record.timestamp)
            if record.key != header.stream.encode():  # a stream's order, and that each frame is done once, hang on it
                raise RecordError(f"not a frame of ours: stream {header.stream} under the key {record.key!r:.80}")
        except RecordError as error:
            self._strangers.inc()
            header, dead = None, Death(DeadCause.STRANGER, str(error))
            log.warning("partition %d offset %d: %s", number, record.offset, error)
        value = record.value or b""
        entry = Entry(number, record.offset, polled.membership, header, value, polled.polled_ms, record.headers)
        entry.dead = dead
        return entry

    def _offer(self, entry: Entry, begun: int) -> None:
        header = entry.header
        now_ms = entry.polled_ms
        if header is None:
            self._ledger.register(entry, now_ms)
            return
        treatment = self._treatments.of(header.stream)
        if treatment is None:
            entry.foreign = True
            self._ledger.register(entry, now_ms)
            return
        entry.track, entry.motion_gate_s = treatment.track, treatment.motion_gate_s
        # An end is waited for, and so is everything while frames are begun apart.
        entry.patient = treatment.patient and isinstance(header, FrameHeader) and not self._isolation.active
        if self._ledger.register(entry, now_ms):
            if begun:
                self._condemn(entry, header, begun)
                return
            self._chooser.offer(header.stream, entry, treatment.bound_ms)
        elif entry.position is None and not entry.abandoned:
            metrics.REPEATS.labels(self._settings.detect.pipeline, header.stream).inc()

    def _condemn(self, entry: Entry, header: FrameHeader | EndHeader, begun: int) -> None:
        reason = f"ended the worker, alone with it, {begun} times in a row"
        log.error("stream %s: frame %s is dead: it %s", header.stream, header.id, reason)
        self._ledger.finish(entry, GapReason.DEAD, reason, Death(DeadCause.FATAL, reason, begun))

    def _skip_if_behind(self, partition: "TopicPartition", oldest_ms: int, now_ms: int) -> None:
        """Far behind, and all streams here want fresh frames only: the log's stale part isn't even fetched."""
        bound_ms = self._treatments.bound_on(partition.partition)
        if bound_ms is None or now_ms - oldest_ms < bound_ms + _BEHIND_MS:
            return
        assert self._consumer is not None
        end = self._consumer.end_offsets([partition])[partition]  # first: what comes while we ask is fresh
        found = self._consumer.offsets_for_times({partition: now_ms - bound_ms - _BEHIND_MS // 2})[partition]
        position = self._consumer.position(partition)
        target = found.offset if found is not None else end - 1
        if position is not None and target > position:
            try:
                self._consumer.seek(partition, target)
            except (ValueError, AssertionError):
                return  # taken away meanwhile
            log.info("partition %d: %d frames too old to be fetched", partition.partition, target - position)
            self._next_offset.pop(partition.partition, None)
            self._stepped_over[partition.partition] = GapReason.STALE

    def _flush_offsets(self) -> None:
        assert self._consumer is not None
        self.plain_offsets.flush(self._consumer)

    async def revoked(self, partitions: "set[TopicPartition]") -> None:
        """Called by kafka-python in its own thread before others get partitions: what is done is committed first."""
        from kafka.errors import KafkaError

        assert self._consumer is not None
        last = self.plain_offsets.for_kafka(self.given_up(partitions, self._patience_s()))
        try:
            await commit_while_revoked(self._consumer, last, self._patience_s())
        except KafkaError as error:
            log.warning("the last offsets are not committed, some results will come again: %s", error)

    def _patience_s(self) -> float:
        """For the next step of giving partitions up: when we leave, half of what is left, so that each has some."""
        return min(_REVOKE_S, self._leaving.remaining() / 2) if self._leaving else _REVOKE_S

    def given_up(self, partitions: "set[TopicPartition]", wait_s: float) -> dict[int, tuple[int, str]]:
        """Lets go of partitions; returns the offsets outside of transactions that may not be committed yet."""
        numbers = {partition.partition for partition in partitions}
        with self._era_lock:
            self._era += 1
            # Until partitions are assigned the consumer still names the old ones: taken over now, they would stay open
            # whoever has them, and as they are now when they come back.
            self._came = False
        self._partitions.set(0)  # all are given up before any are assigned, see _assignors
        if not self._ledger.close(numbers, wait_s):
            log.warning("partitions %s were taken away before all of their frames were committed", sorted(numbers))
        self._mirror.forget(numbers)
        self._followers.forget(numbers)
        self._gate.forget(numbers)
        return self.plain_offsets.withdraw(numbers)

    def assigned(self, partitions: "set[TopicPartition]") -> None:
        """Called by kafka-python in its own thread; the next `step` takes them over."""
        with self._era_lock:
            self._came = True
        self._partitions.set(len(partitions))
        log.info("has partitions %s", sorted(partition.partition for partition in partitions))

    def close(self, limit_s: float) -> None:
        """Leaves the group, in `limit_s` at most; `revoked` is called for what we still have."""
        self._leaving = Deadline(limit_s)
        if self._consumer is not None:
            # Of what `revoked` leaves in the worst case; it is for the broker's answer, which may not come.
            self._consumer.close(autocommit=False, timeout_ms=limit_s / 4 * 1000)


def _assignors() -> list[object]:
    """How partitions are shared out: by what pauses least of what kafka-python has, see docs/operations.md.

    Not by the cooperative one: it lets members keep partitions over a rebalance, but frames under way then have the
    membership of before, with which they can't be committed. Range is what a worker of an older version has as well.
    """
    from kafka.coordinator.assignors.range import RangePartitionAssignor
    from kafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor

    return [StickyPartitionAssignor, RangePartitionAssignor]


def _listener(intake: Intake) -> object:
    from kafka import AsyncConsumerRebalanceListener

    class Listener(AsyncConsumerRebalanceListener):  # type: ignore[misc]
        async def on_partitions_revoked(self, revoked: "set[TopicPartition]") -> None:
            if revoked:
                await intake.revoked(revoked)

        async def on_partitions_lost(self, lost: "set[TopicPartition]") -> None:
            if lost:
                intake.given_up(lost, 0)

        async def on_partitions_assigned(self, assigned: "set[TopicPartition]") -> None:
            intake.assigned(assigned)

    return Listener()
