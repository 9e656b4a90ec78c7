"""Redis, a mirror of topics `detections` and `events`: written after the commit, in order; repaired from the log.

Redis being slow or away never holds a commit up: what can't be written is read again from the log later.
"""

import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping, Set
from itertools import takewhile

from redis.exceptions import RedisError, ResponseError

from consumers.entry import Channel, Row
from consumers.mirroring.redis_writer import RedisWriter, expires_s
from consumers.mirroring.repair import STANDS_S, Repair, Targets
from consumers.telemetry import metrics
from streamer.errors import ServiceError
from streamer.mirror import is_away, redis_error
from streamer.records import ZERO, FrameId
from streamer.retry import Backoff
from streamer.settings import Settings

log = logging.getLogger(__name__)

Rows = list[Row]
_QUEUE = 8192  # records: of a batch there may be thousands
_RETRY_S = 0.5
_RETRY_MOST_S = 5.0
_SETTLE_S = 1.0  # for others' transactions to end, while what comes in queues up


class Mirror(threading.Thread):
    """The thread that writes to Redis. `write` never blocks; `check` has a taken-over partition compared.

    A partition is either live, its records come through the queue, or behind: its records are dropped here,
    only the newest id per channel is remembered, and the log is read until those ids have been seen, however long
    somebody's open transaction keeps them from being read.

    A Redis that has lost something, emptied or begun anew, may have lost what nothing is written to now: all
    partitions are compared then, by the newest id that each channel has had.

    Of a channel that has been silent until Redis and what is read of the log have nothing more of it nothing is known.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__(name="mirror", daemon=True)
        self._settings = settings
        self._pipeline = settings.detect.pipeline
        self._queue: deque[Rows] = deque()
        self._queued = 0  # records in it
        self._behind: OrderedDict[int, Targets] = OrderedDict()
        self._newest: dict[int, Targets] = {}
        self._found: dict[int, Targets] = {}  # the newest when the partition was taken over
        self._told: dict[int, Targets] = {}  # published, as far as we know; each is the thread's, once it is here
        self._moved: OrderedDict[tuple[int, Channel], float] = OrderedDict()  # when, the channel that moved last last
        self._repairs: dict[int, Repair] = {}
        self._over: list[Repair] = []  # for the thread to close
        self._changed = threading.Condition()
        self._stopping = False
        self._writer = RedisWriter(settings)
        self._errors = metrics.MIRROR_ERRORS.labels(self._pipeline)

    def open(self) -> None:
        """Tries the connection; a Redis that doesn't answer now is repaired when it does, as after any outage.

        Raises:
            ServiceError: Redis refuses us, or the address can't be right.
        """
        try:
            self._writer.open()
        except ServiceError as error:
            if not is_away(error.__cause__):
                raise
            log.warning("%s. Until it answers, results are on Kafka alone", error)

    def write(self, rows: Rows, certain: bool = True) -> None:
        """Takes committed records, in order.

        certain: False: another worker may have committed others in their place; what is in the log is copied.
        """
        with self._changed:
            if self._queued >= _QUEUE or not certain:
                self._drop_queue()
            # One that was given up meanwhile may have been behind: its next owner writes these on top of the others.
            ours = [row for row in rows if row.partition in self._newest]
            if not certain:
                for row in ours:
                    self._behind.setdefault(row.partition, {})
            live = []
            for row in ours:
                _advance(self._newest[row.partition], {row.channel: row.id})
                self._note(row.partition, (row.channel,))
                if row.partition in self._behind:
                    self._await(row.partition, {row.channel: row.id})
                else:
                    live.append(row)
            if live:
                self._queue.append(live)
                self._queued += len(live)
            self._changed.notify()

    def check(self, partition: int, newest: Mapping[str, FrameId], events: Mapping[str, FrameId]) -> None:
        """Before anything newer is written, has Redis compared with the newest committed ids per channel."""
        with self._changed:
            targets = {Channel("detections", stream): id for stream, id in newest.items()}
            targets |= {Channel("events", stream): id for stream, id in events.items()}
            self._end_repairs({partition})
            self._behind[partition], self._newest[partition] = targets, dict(targets)
            self._found[partition], self._told[partition] = dict(targets), {}
            self._note(partition, targets)
            self._changed.notify()

    def forget(self, partitions: set[int]) -> None:
        """These belong to another worker now; it repairs what we have not written."""
        with self._changed:
            self._end_repairs(partitions)
            for partition in partitions:
                self._behind.pop(partition, None)
                self._newest.pop(partition, None)
                self._found.pop(partition, None)
                self._told.pop(partition, None)

    def _note(self, partition: int, channels: Iterable[Channel]) -> None:
        now = time.monotonic()
        for channel in channels:
            self._moved[partition, channel] = now
            self._moved.move_to_end((partition, channel))

    def _forget_expired(self) -> None:
        """There may be new names for ever, also while Redis is away."""
        expired = time.monotonic() - expires_s(self._settings.redis)
        for partition, channel in list(takewhile(lambda moved: self._moved[moved] < expired, self._moved)):
            del self._moved[partition, channel]
            for known in (self._newest, self._behind, self._found, self._told):
                known.get(partition, {}).pop(channel, None)

    def _end_repairs(self, partitions: Set[int]) -> None:
        """What they know of Redis may not be so any more."""
        self._over += [self._repairs.pop(partition) for partition in partitions & self._repairs.keys()]

    def stop(self, timeout_s: float) -> None:
        """Writes what waits, for `timeout_s` at most; the rest the partitions' next owners repair."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self.join(timeout_s)

    def run(self) -> None:
        """Until stopped and empty."""
        # Looked up when asked for: set by our calls, they would keep their last values once nothing comes any more.
        gauges = {metrics.MIRROR_WAITING: lambda: self._queued, metrics.MIRROR_BEHIND: lambda: len(self._behind)}
        for gauge, measure in gauges.items():
            gauge.labels(self._pipeline).set_function(measure)
        try:
            self._run()
        finally:
            for gauge in gauges:
                gauge.remove(self._pipeline)
            with self._changed:
                self._end_repairs(self._repairs.keys())
            self._close_repairs()

    def _run(self) -> None:
        backoff = Backoff(_RETRY_S, _RETRY_MOST_S)
        while True:
            try:
                if not self._step():
                    return
                backoff.reset()
            except Exception as error:
                # The edge of a thread. Whatever it was, the log still has the records: say so, wait, read it.
                self._errors.inc()
                if isinstance(error, ResponseError):
                    self._compare_all()
                wait = backoff.next()
                # Of all else, Kafka's errors too, the message says where they are from.
                reason = redis_error(self._settings.redis, error) if isinstance(error, RedisError) else error
                log.warning("results are not mirrored, trying again in %.1f s: %s", wait, reason)
                with self._changed:
                    self._end_repairs(self._repairs.keys())
                    if self._stopping or self._changed.wait_for(lambda: self._stopping, wait):
                        return

    def _step(self) -> bool:
        self._close_repairs()
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._behind or self._stopping)
            self._forget_expired()
            rows = self._queue.popleft() if self._queue else None
            behind = self._next_behind() if rows is None else None
            self._queued -= len(rows or ())
        if rows is not None:
            self._write_or_fall_behind(rows)
        elif behind is not None:
            self._repair(behind)
        return rows is not None or behind is not None

    def _next_behind(self) -> int | None:
        """A partition that is behind, each in its turn: one that fails is not the next again."""
        partition = next(iter(self._behind), None)
        if partition is not None:
            self._behind.move_to_end(partition)
        return partition

    def _close_repairs(self) -> None:
        with self._changed:
            over, self._over = self._over, []
        for repair in over:
            repair.close()

    def _write_or_fall_behind(self, rows: Rows) -> None:
        try:
            self._writer.write(rows)
        except BaseException:
            with self._changed:
                # This batch and all that wait behind it come from the log, in order.
                self._queue.appendleft(rows)
                self._drop_queue()
            raise
        with self._changed:
            for row in rows:
                if row.partition in self._told:
                    self._told[row.partition][row.channel] = row.id

    def _drop_queue(self, partition: int | None = None) -> None:
        """Has what waits read from the log: all of it, or a partition's."""
        waiting, self._queue = self._queue, deque()
        for rows in waiting:
            kept = [row for row in rows if partition not in (None, row.partition)]
            for row in rows:
                if partition in (None, row.partition):
                    self._await(row.partition, {row.channel: row.id})
            if kept:
                self._queue.append(kept)
        self._queued = sum(map(len, self._queue))

    def _await(self, partition: int, targets: Targets) -> None:
        """Has the log read up to these, unless that is the partition's next owner's."""
        if partition in self._newest:
            _advance(self._behind.setdefault(partition, {}), targets)

    def _compare_all(self) -> None:
        with self._changed:
            self._drop_queue()
            for partition, targets in self._newest.items():
                self._await(partition, targets)

    def _repair(self, partition: int) -> None:
        """Writes what the log has and Redis has not, then makes the partition live again.

        Where the log can't be read yet it stays behind: what is live, and the other partitions, have their turns.
        """
        with self._changed:
            told, found = self._told.get(partition, {}), self._found.get(partition, {})
            repair = self._repairs.get(partition) or Repair(self._settings, partition, self._writer, told, found)
            self._repairs[partition] = repair
            targets = dict(self._behind.get(partition, {}))
        complete = repair.copy(targets, 0)
        with self._changed:
            if self._repairs.get(partition) is not repair:
                return
            if not complete:
                if repair.stands:
                    log.warning(
                        "partition %d: nothing came from the log for %.0f s, it is read anew", partition, STANDS_S
                    )
                    self._end_repairs({partition})
                return
            # From here on new records queue up behind this repair; those dropped until now are read once more, and
            # what comes twice is refused by its id.
            targets = self._behind.pop(partition, {})
        self._catch_up(partition, repair, targets)

    def _catch_up(self, partition: int, repair: Repair, targets: Targets) -> None:
        complete = False
        try:
            complete = repair.copy(targets, _SETTLE_S)
        finally:
            with self._changed:
                if complete:
                    self._end_repairs({partition})
                else:
                    self._await(partition, targets)
                    self._drop_queue(partition)


def _advance(newest: Targets, targets: Targets) -> None:
    """Never lowered: another worker may have had the partition since a late batch of ours was begun."""
    for channel, target in targets.items():
        newest[channel] = max(target, newest.get(channel, ZERO))
