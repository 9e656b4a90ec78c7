"""Repairing Redis from the log: what a partition's channels lack there, in order and without a hole."""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from consumers.entry import Channel, Row
from consumers.mirroring.log_tail import LogTail
from consumers.mirroring.redis_writer import RedisWriter
from streamer.lifecycle import Deadline
from streamer.records import ZERO, FrameId
from streamer.settings import Settings

if TYPE_CHECKING:
    from consumers.mirroring.log_tail import Ends

Targets = dict[Channel, FrameId]
STANDS_S = 30.0


class Repair:
    """Of one partition, from one reading of its log. Belongs to the mirror's thread; errors come out as they are.

    told: the newest record of each channel that was published, as far as is known; kept up to date.
    found: the newest record of each channel when the partition was taken over. What there was by then counts as told
        where nobody knows and Redis has nothing.
    """

    def __init__(
        self, settings: Settings, partition: int, writer: RedisWriter, told: Targets, found: Mapping[Channel, FrameId]
    ) -> None:
        self._pipeline, self._writer, self._told, self._found = settings.detect.pipeline, writer, told, found
        self._tail = LogTail(settings, partition, settings.redis.max_age_s)
        self._ends: Ends = {}  # of the log, to be read before anything is called missing from it
        self._tops: Targets = {}
        self._moved = time.monotonic()

    def close(self) -> None:
        """Ends the connection."""
        self._tail.close()

    @property
    def stands(self) -> bool:
        """Whether nothing has come for longer than a transaction is open: a reader may be deaf behind an outage."""
        return time.monotonic() - self._moved > STANDS_S

    def copy(self, targets: Mapping[Channel, FrameId], wait_s: float) -> bool:
        """Copies the log into Redis until every target, which is committed, is there, or isn't in the log any more.

        wait_s: for how long at most there may be nothing to read although not all can be read yet that was written
            before: somebody's open transaction holds readers back, from what others have committed behind it, too.

        Returns whether it is complete.
        """
        known, waits = False, Deadline(wait_s)
        while self._is_missing(targets):
            rows = self._tail.read()
            if rows:
                self._moved = time.monotonic()
            self._write([row for row in rows if row.record.pipeline == self._pipeline])
            if self._tail.has_read(self._ends):
                if known:
                    return True
                self._ends, known = self._tail.written(), True
            elif rows:
                waits = Deadline(wait_s)
            elif waits.passed:
                return False
        return True

    def _is_missing(self, targets: Mapping[Channel, FrameId]) -> bool:
        return any(self._top(channel) < target for channel, target in targets.items())

    def _write(self, rows: list[Row]) -> None:
        fresh = [row for row in rows if row.id > self._top(row.channel)]
        self._writer.write(fresh, self._told)
        for row in fresh:
            self._tops[row.channel] = row.id
            self._told[row.channel] = max(row.id, self._told.get(row.channel, ZERO))

    def _top(self, channel: Channel) -> FrameId:
        """Id of the newest record that Redis has of a channel."""
        if channel not in self._tops:
            top = self._tops[channel] = self._writer.top(channel)
            if top == ZERO:
                self._told.setdefault(channel, self._found.get(channel, ZERO))
        return self._tops[channel]
