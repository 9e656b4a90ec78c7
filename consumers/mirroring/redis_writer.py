"""Writing records to Redis: per stream in order, each id once, trimmed by age and number."""

import logging
import math
import time
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from redis.exceptions import ResponseError

from consumers.entry import Channel, Row
from streamer.mirror import Keys, connect_redis, redis_error
from streamer.moments import unix_ms
from streamer.records import ZERO, FrameId, Result
from streamer.settings import RedisSettings, Settings

if TYPE_CHECKING:
    import redis

# One stream's records in order, of which the first `quiet` are not published; each is the latest for `life` ms at most.
# An id that Redis already has, or has trimmed, counts as done but is neither published nor made the latest; any other
# error ends the script, and the records behind it are not written.
_SCRIPT = """
local detections, latest = KEYS[1], KEYS[2]
local channel, most, keep, min_id = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if ARGV[5] == '1' and redis.call('EXISTS', detections) == 0 then
    return redis.error_reply('EMPTIED ' .. detections .. ' was written before and is gone')
end
local quiet, written = tonumber(ARGV[6]), 0
for i = 7, #ARGV, 3 do
    local id, life, record = ARGV[i], ARGV[i + 1], ARGV[i + 2]
    local reply = redis.pcall('XADD', detections, 'MAXLEN', '~', most, id, 'record', record)
    if type(reply) == 'table' and reply.err then
        if not string.find(reply.err, 'equal or smaller', 1, true) then return reply end
    else
        if life ~= '0' then redis.call('SET', latest, record, 'PX', life) end
        if i >= 7 + 3 * quiet then redis.call('PUBLISH', channel, record) end
        written = written + 1
    end
end
if min_id ~= '' then redis.call('XTRIM', detections, 'MINID', '~', min_id) end
redis.call('EXPIRE', detections, keep)
return written
"""


_NEVER = FrameId(1 << 64, 0)  # larger than any id
log = logging.getLogger(__name__)


class RedisWriter:
    """Belongs to one thread; errors of Redis come out as they are."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._keys = settings, Keys(settings.redis.prefix)
        self._pipeline = settings.detect.pipeline
        self._young: dict[Channel, deque[tuple[float, FrameId]]] = defaultdict(deque)
        self._written: dict[Channel, float] = {}  # when, by the monotonic clock; the last one last
        self._renewed = -math.inf  # when Redis turned out to have lost things
        self._occupied: set[Channel] = set()
        self._redis: redis.Redis | None = None
        self._script = ""

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
            raise redis_error(self._settings.redis, error) from error
        self._redis = client

    def top(self, channel: Channel) -> FrameId:
        """Id of the newest record that Redis has of a channel; ZERO if it has none.

        Larger than any where nothing can be written, because somebody has put something else there.
        """
        if self._redis is None:
            self.open()
        assert self._redis is not None
        try:
            rows: Any = self._redis.xrevrange(self._records(channel), count=1)
        except ResponseError as error:
            if not self._is_occupied(channel, error):
                raise
            return _NEVER
        if not rows:
            return ZERO
        epoch, _, sequence = rows[0][0].decode().partition("-")
        return FrameId(int(epoch), int(sequence))

    def write(self, rows: Sequence[Row], told: Mapping[Channel, FrameId] | None = None) -> None:
        """Writes records of any channels, those of one in order.

        told: the newest record of a channel that was published before: up to there none is again.
        """
        if not rows:
            return
        if self._redis is None:
            self.open()
        assert self._redis is not None
        by_channel: dict[Channel, list[Row]] = defaultdict(list)
        for row in rows:
            by_channel[row.channel].append(row)
        now = time.monotonic()
        pipe = self._redis.pipeline(transaction=False)
        for channel, ordered in by_channel.items():
            pipe.evalsha(self._script, 2, *self._arguments(channel, ordered, told or {}, now))
        replies = dict(zip(by_channel, pipe.execute(raise_on_error=False), strict=True))
        for channel, reply in replies.items():
            if isinstance(reply, ResponseError) and not self._is_occupied(channel, reply):
                # Redis was restarted, or emptied: the caller repairs what is gone, with the script loaded again.
                self._renewed = time.monotonic()
                self.open()
                raise reply
            if isinstance(reply, Exception) and not isinstance(reply, ResponseError):
                raise reply
        for channel, reply in replies.items():
            if not isinstance(reply, Exception):
                self._written.pop(channel, None)
                self._written[channel] = now
        self._forget(now)

    def _forget(self, now: float) -> None:
        """What was known of channels whose key has expired: there may be new names for ever."""
        expired = now - expires_s(self._settings.redis)
        for channel in list(takewhile(lambda channel: self._written[channel] < expired, self._written)):
            del self._written[channel]
            self._young.pop(channel, None)

    def _is_occupied(self, channel: Channel, error: ResponseError) -> bool:
        """Whether something else lies where a channel's records belong. Its stream does without, others go on."""
        if not str(error).startswith("WRONGTYPE"):
            return False
        if channel not in self._occupied:
            self._occupied.add(channel)
            log.error("%s in Redis is not ours: remove it; until then it is not written", self._records(channel))
        return True

    def _records(self, channel: Channel) -> str:
        of = self._keys.events if channel.log == "events" else self._keys.detections
        return of(self._pipeline, channel.stream)

    def _must_be_there(self, channel: Channel, now: float) -> bool:
        """Whether Redis has lost something if it has nothing of a channel.

        Not where we last wrote longer than max_age_s ago: such a key expires soon, by Redis' own clock, or has expired.
        """
        written = self._written.get(channel, -math.inf)
        return written > self._renewed and now - written < self._settings.redis.max_age_s

    def _arguments(
        self, channel: Channel, rows: Sequence[Row], told: Mapping[Channel, FrameId], now: float
    ) -> list[Any]:
        keys, redis = self._keys, self._settings.redis
        live = keys.live_events if channel.log == "events" else keys.live
        arguments: list[Any] = [
            self._records(channel),
            keys.latest(self._pipeline, channel.stream),
            live(self._pipeline, channel.stream),
            redis.max_records,
            expires_s(redis),
            self._oldest_young(channel, rows[-1].id, now),
            int(self._must_be_there(channel, now)),
            sum(row.id <= told.get(channel, ZERO) for row in rows),
        ]
        ttl_ms = redis.latest_ttl_s * 1000
        for row in rows:
            arguments += (row.record.redis_id, _life_ms(row, ttl_ms), row.value)
        return arguments

    def _oldest_young(self, channel: Channel, newest: FrameId, now: float) -> str:
        """Id from which on the channel's records are kept, "" while none is too old.

        Never computed from the clock: an id's first half is when the run began, not when the frame came.
        """
        young = self._young[channel]
        if not young or now - young[-1][0] > 1:
            young.append((now, newest))
        trim = ""
        while young and now - young[0][0] > self._settings.redis.max_age_s:
            # Not the next one's: that may be of just now, and all between them another worker's, who had the partition.
            trim = str(young.popleft()[1])
        return trim


def expires_s(redis: RedisSettings) -> int:
    """Seconds behind its newest record after which a channel's key is gone."""
    return redis.max_age_s + redis.latest_ttl_s


def _life_ms(row: Row, ttl_ms: int) -> int:
    """For how long a record may be its stream's latest result; 0: it is none.

    At least 1 ms: the result of a stream that has been silent since takes an older one's place, and is gone.
    """
    if not isinstance(row.record, Result):
        return 0
    if row.written_ms is None:
        return ttl_ms
    # From when it was committed, not captured: a result that came late was its stream's newest all the same.
    return min(max(ttl_ms - (unix_ms() - row.written_ms), 1), ttl_ms)
