"""Redis, a mirror of topic `detections`: written after the commit, in order; repaired from the log.

Redis being slow or away never holds a commit up: what can't be written is read again from the log later.
"""

import logging
import threading
import time
from collections import defaultdict, deque
from typing import TYPE_CHECKING, Any

from redis.exceptions import NoScriptError

from consumers import metrics
from consumers.entry import Row
from consumers.log_tail import LogTail
from streamer.lifecycle import Deadline
from streamer.mirror import Keys, connect_redis, redis_error
from streamer.records import ZERO, FrameId, Result
from streamer.settings import Settings

if TYPE_CHECKING:
    import redis

log = logging.getLogger(__name__)

# One stream's records in order. An id that Redis already has, or has trimmed, counts as done but is neither
# published nor made the latest; any other error ends the script, and the records behind it are not written.
_SCRIPT = """
local detections, latest = KEYS[1], KEYS[2]
local channel, ttl, most, keep, min_id = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local written = 0
for i = 6, #ARGV, 3 do
    local id, kind, record = ARGV[i], ARGV[i + 1], ARGV[i + 2]
    local reply = redis.pcall('XADD', detections, 'MAXLEN', '~', most, id, 'record', record)
    if type(reply) == 'table' and reply.err then
        if not string.find(reply.err, 'equal or smaller', 1, true) then return reply end
    else
        if kind == 'frame' then redis.call('SET', latest, record, 'EX', ttl) end
        redis.call('PUBLISH', channel, record)
        written = written + 1
    end
end
if min_id ~= '' then redis.call('XTRIM', detections, 'MINID', '~', min_id) end
redis.call('EXPIRE', detections, keep)
return written
"""

Rows = list[Row]
Targets = dict[str, FrameId]
_QUEUE = 256  # batches
_RETRY_S = 0.5
_RETRY_MOST_S = 5.0
_SETTLE_S = 1.0  # for a transaction's end to be visible to readers


class Mirror(threading.Thread):
    """The thread that writes to Redis. `write` never blocks; `check` has a taken-over partition compared.

    A partition is either live, its records come through the queue, or behind: its records are dropped here,
    only the newest id per stream is remembered, and the log is read until those ids have been seen.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__(name="mirror", daemon=True)
        self._settings, self._keys = settings, Keys(settings.redis.prefix)
        self._pipeline = settings.detect.pipeline
        self._queue: deque[Rows] = deque()
        self._behind: dict[int, Targets] = {}
        self._changed = threading.Condition()
        self._stopping = False
        self._young: dict[str, deque[tuple[float, FrameId]]] = defaultdict(deque)
        self._redis: redis.Redis | None = None
        self._script = ""
        self._errors = metrics.MIRROR_ERRORS.labels(self._pipeline)
        self._waiting = metrics.MIRROR_BEHIND.labels(self._pipeline)

    def open(self) -> None:
        """Tries the connection.

        Raises:
            ServiceError: Redis is out of reach or refuses us.
        """
        import redis

        client = connect_redis(self._settings.redis)
        try:
            self._script = client.script_load(_SCRIPT)
        except redis.RedisError as error:
            raise redis_error(self._settings.redis, error) from None
        self._redis = client

    def write(self, rows: Rows) -> None:
        """Takes committed records, in order."""
        with self._changed:
            if len(self._queue) >= _QUEUE:
                self._drop_queue()
            live = []
            for row in rows:
                if row.partition in self._behind:
                    self._behind[row.partition][row.record.stream] = row.record.id
                else:
                    live.append(row)
            if live:
                self._queue.append(live)
            self._waiting.set(len(self._queue))
            self._changed.notify()

    def check(self, partition: int, newest: Targets) -> None:
        """Before anything newer is written, has Redis compared with the newest committed ids per stream."""
        with self._changed:
            self._behind[partition] = dict(newest)
            self._changed.notify()

    def forget(self, partitions: set[int]) -> None:
        """These belong to another worker now; it repairs what we have not written."""
        with self._changed:
            for partition in partitions:
                self._behind.pop(partition, None)

    def stop(self, timeout_s: float) -> None:
        """Writes what waits, for `timeout_s` at most; the rest the partitions' next owners repair."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self.join(timeout_s)

    def run(self) -> None:
        """Until stopped and empty."""
        wait = _RETRY_S
        while True:
            try:
                if not self._step():
                    return
                wait = _RETRY_S
            except Exception as error:
                # The edge of a thread. Whatever it was, the log still has the records: say so, wait, read it.
                self._errors.inc()
                reason = str(redis_error(self._settings.redis, error))
                log.warning("results are not mirrored, trying again in %.1f s: %s", wait, reason)
                with self._changed:
                    if self._stopping or self._changed.wait_for(lambda: self._stopping, wait):
                        return
                wait = min(wait * 2, _RETRY_MOST_S)

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
            self._write(rows)
        except BaseException:
            with self._changed:
                # This batch and all that wait behind it come from the log, in order.
                self._queue.appendleft(rows)
                self._drop_queue()
            raise

    def _drop_queue(self) -> None:
        for rows in self._queue:
            for row in rows:
                self._behind.setdefault(row.partition, {})[row.record.stream] = row.record.id
        self._queue.clear()

    def _repair(self, partition: int) -> None:
        """Writes what the log has and Redis has not, then makes the partition live again."""
        with self._changed:
            targets = dict(self._behind.get(partition, {}))
        tops = {stream: self._top(stream) for stream in targets}
        with LogTail(self._settings, partition, self._settings.redis.max_age_s) as tail:
            if any(tops[stream] < target for stream, target in targets.items()):
                self._copy(tail, targets, tops)
            with self._changed:
                # From here on new records queue up behind this repair; those dropped until now are read
                # once more, and what comes twice is refused by its id.
                targets = self._behind.pop(partition, {})
            try:
                for stream in targets:
                    tops.setdefault(stream, self._top(stream))
                self._copy(tail, targets, tops)
            except BaseException:
                with self._changed:
                    self._behind[partition] = {**targets, **self._behind.get(partition, {})}
                    self._drop_queue()
                raise

    def _copy(self, tail: LogTail, targets: Targets, tops: Targets) -> None:
        """Copies the log into Redis until every target has been seen, or the log ends without it."""
        deadline = Deadline(_SETTLE_S)
        missing = {stream for stream, target in targets.items() if tops[stream] < target}
        while missing and not (tail.at_end() and deadline.passed):
            rows = [row for row in tail.read() if row.record.pipeline == self._pipeline]
            fresh = [row for row in rows if row.record.id > tops.get(row.record.stream, ZERO)]
            self._write(fresh)
            for record in (row.record for row in fresh):
                tops[record.stream] = record.id
                if record.id >= targets.get(record.stream, record.id):
                    missing.discard(record.stream)
            if rows:
                deadline = Deadline(_SETTLE_S)

    def _top(self, stream: str) -> FrameId:
        assert self._redis is not None
        rows: Any = self._redis.xrevrange(self._keys.detections(self._pipeline, stream), count=1)
        if not rows:
            return ZERO
        epoch, _, sequence = rows[0][0].decode().partition("-")
        return FrameId(int(epoch), int(sequence))

    def _write(self, rows: Rows) -> None:
        if not rows:
            return
        if self._redis is None:
            self.open()
        assert self._redis is not None
        by_stream: dict[str, Rows] = defaultdict(list)
        for row in rows:
            by_stream[row.record.stream].append(row)
        pipe = self._redis.pipeline(transaction=False)
        for stream, ordered in by_stream.items():
            pipe.evalsha(self._script, 2, *self._arguments(stream, ordered))
        try:
            pipe.execute()
        except NoScriptError:
            # Redis was restarted or flushed; the caller's repair comes with the script loaded again.
            self.open()
            raise

    def _arguments(self, stream: str, rows: Rows) -> list[Any]:
        keys, redis = self._keys, self._settings.redis
        arguments: list[Any] = [
            keys.detections(self._pipeline, stream),
            keys.latest(self._pipeline, stream),
            keys.live(self._pipeline, stream),
            redis.latest_ttl_s,
            redis.max_records,
            redis.max_age_s + redis.latest_ttl_s,
            self._oldest_young(stream, rows[-1].record.id),
        ]
        for row in rows:
            arguments += (row.record.redis_id, "frame" if isinstance(row.record, Result) else "other", row.value)
        return arguments

    def _oldest_young(self, stream: str, newest: FrameId) -> str:
        """Id from which on the stream's records are kept, "" while none is too old.

        Never computed from the clock: an id's first half is when the run began, not when the frame came.
        """
        now, young = time.monotonic(), self._young[stream]
        if not young or now - young[-1][0] > 1:
            young.append((now, newest))
        trim = ""
        while len(young) > 1 and now - young[0][0] > self._settings.redis.max_age_s:
            young.popleft()
            trim = str(young[0][1])
        return trim
