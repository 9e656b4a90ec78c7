"""Redis, a mirror of topics `detections` and `events`: written after the commit, in order; repaired from the log.

Redis being slow or away never holds a commit up: what can't be written is read again from the log later.
"""

import logging
import threading
from collections import deque
from collections.abc import Mapping
from contextlib import closing

from redis.exceptions import ResponseError

from consumers import metrics
from consumers.entry import Channel, Row
from consumers.log_tail import LogTail
from consumers.redis_writer import RedisWriter
from streamer.errors import ServiceError
from streamer.lifecycle import Deadline
from streamer.mirror import is_away, redis_error
from streamer.records import ZERO, FrameId
from streamer.retry import Backoff
from streamer.settings import Settings

log = logging.getLogger(__name__)

Rows = list[Row]
Targets = dict[Channel, FrameId]
_QUEUE = 256  # batches
_RETRY_S = 0.5
_RETRY_MOST_S = 5.0
_SETTLE_S = 1.0  # for the end of a transaction that we know of to be seen by readers


class Mirror(threading.Thread):
    """The thread that writes to Redis. `write` never blocks; `check` has a taken-over partition compared.

    A partition is either live, its records come through the queue, or behind: its records are dropped here,
    only the newest id per channel is remembered, and the log is read until those ids have been seen.

    A Redis that has lost something, emptied or begun anew, may have lost what nothing is written to now: all
    partitions are compared then, by the newest id that each channel has had.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__(name="mirror", daemon=True)
        self._settings = settings
        self._pipeline = settings.detect.pipeline
        self._queue: deque[Rows] = deque()
        self._behind: dict[int, Targets] = {}
        self._newest: dict[int, Targets] = {}
        self._changed = threading.Condition()
        self._stopping = False
        self._writer = RedisWriter(settings)
        self._errors = metrics.MIRROR_ERRORS.labels(self._pipeline)
        self._waiting = metrics.MIRROR_BEHIND.labels(self._pipeline)

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
            if len(self._queue) >= _QUEUE or not certain:
                self._drop_queue()
            if not certain:
                for row in rows:
                    self._behind.setdefault(row.partition, {})
            live = []
            for row in rows:
                self._newest.setdefault(row.partition, {})[row.channel] = row.id
                if row.partition in self._behind:
                    self._behind[row.partition][row.channel] = row.id
                else:
                    live.append(row)
            if live:
                self._queue.append(live)
            self._waiting.set(len(self._queue))
            self._changed.notify()

    def check(self, partition: int, newest: Mapping[str, FrameId], events: Mapping[str, FrameId]) -> None:
        """Before anything newer is written, has Redis compared with the newest committed ids per channel."""
        with self._changed:
            targets = {Channel("detections", stream): id for stream, id in newest.items()}
            targets |= {Channel("events", stream): id for stream, id in events.items()}
            self._behind[partition], self._newest[partition] = targets, dict(targets)
            self._changed.notify()

    def forget(self, partitions: set[int]) -> None:
        """These belong to another worker now; it repairs what we have not written."""
        with self._changed:
            for partition in partitions:
                self._behind.pop(partition, None)
                self._newest.pop(partition, None)

    def stop(self, timeout_s: float) -> None:
        """Writes what waits, for `timeout_s` at most; the rest the partitions' next owners repair."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self.join(timeout_s)

    def run(self) -> None:
        """Until stopped and empty."""
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
                reason = str(redis_error(self._settings.redis, error))
                log.warning("results are not mirrored, trying again in %.1f s: %s", wait, reason)
                with self._changed:
                    if self._stopping or self._changed.wait_for(lambda: self._stopping, wait):
                        return

    def _step(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._behind or self._stopping)
            behind = next(iter(self._behind), None)
            rows = self._queue.popleft() if self._queue else None
            if rows is None and behind is None:
                return False
        if rows is not None:
            self._write_or_fall_behind(rows)
        elif behind is not None:
            self._repair(behind)
        return True

    def _write_or_fall_behind(self, rows: Rows) -> None:
        try:
            self._writer.write(rows)
        except BaseException:
            with self._changed:
                # This batch and all that wait behind it come from the log, in order.
                self._queue.appendleft(rows)
                self._drop_queue()
            raise

    def _drop_queue(self) -> None:
        for rows in self._queue:
            for row in rows:
                self._behind.setdefault(row.partition, {})[row.channel] = row.id
        self._queue.clear()

    def _compare_all(self) -> None:
        with self._changed:
            self._drop_queue()
            for partition, targets in self._newest.items():
                self._behind[partition] = {**targets, **self._behind.get(partition, {})}

    def _repair(self, partition: int) -> None:
        """Writes what the log has and Redis has not, then makes the partition live again."""
        with self._changed:
            targets = dict(self._behind.get(partition, {}))
        tops = {channel: self._writer.top(channel) for channel in targets}
        with closing(LogTail(self._settings, partition, self._settings.redis.max_age_s)) as tail:
            if any(tops[channel] < target for channel, target in targets.items()):
                self._copy(tail, targets, tops)
            with self._changed:
                # From here on new records queue up behind this repair; those dropped until now are read
                # once more, and what comes twice is refused by its id.
                targets = self._behind.pop(partition, {})
            try:
                for channel in targets:
                    tops.setdefault(channel, self._writer.top(channel))
                self._copy(tail, targets, tops)
            except BaseException:
                with self._changed:
                    self._behind[partition] = {**targets, **self._behind.get(partition, {})}
                    self._drop_queue()
                raise

    def _copy(self, tail: LogTail, targets: Targets, tops: Targets) -> None:
        """Copies the log into Redis until every target has been seen, or the log goes on ending without it."""
        missing = {channel for channel, target in targets.items() if tops[channel] < target}
        ended: Deadline | None = None
        while missing and not (ended and ended.passed):
            rows = tail.read()
            fresh = [row for row in rows if self._is_fresh(row, tops)]
            self._writer.write(fresh)
            for row in fresh:
                tops[row.channel] = row.id
                if row.id >= targets.get(row.channel, row.id):
                    missing.discard(row.channel)
            at_end = not rows and tail.at_end()
            ended = (ended or Deadline(_SETTLE_S)) if at_end else None

    def _is_fresh(self, row: Row, tops: Targets) -> bool:
        return row.record.pipeline == self._pipeline and row.id > tops.get(row.channel, ZERO)
