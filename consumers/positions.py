"""How far each stream of a partition is done: kept in the metadata of the partition's committed offset.

So it is exactly as old as the results: one transaction writes both. What was begun behind it stands there as well.
"""

from dataclasses import dataclass, field, replace

import orjson

from consumers.poison.attempts import Attempt
from streamer.records import FrameId, GapReason
from streamer.records.fields import count

# offset.metadata.max.bytes of a broker, unless somebody changed it.
LIMIT_BYTES = 4096
_BESIDES_BYTES = len(b',"states":"","unread":["expired",999],"streams":{}') + len("false") - len("true")


@dataclass(frozen=True, slots=True)
class Position:
    """Behind the last frame of a stream that is covered by a result or a gap.

    next: the frame that is expected; ended: its epoch is over, so nothing of it is missing. unread: why a part of the
    log behind the stream's last record was stepped over, if one was. has_state: whether topic `state` may hold one of
    the stream's.
    """

    next: FrameId
    ended: bool = False
    unread: GapReason | None = None
    has_state: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Positions:
    """All streams of a partition.

    complete: False where streams had to be left out for lack of room; of one that isn't here nothing is
    known then, rather than that it is new. attempt: what was begun behind the offset.
    """

    streams: dict[str, Position]
    complete: bool = True
    attempt: Attempt | None = None


def stepped_over(streams: dict[str, Position], reason: GapReason) -> dict[str, Position]:
    """Behind a part of the log that was not read: it may have held records of every stream."""
    return {name: replace(position, unread=reason) for name, position in streams.items()}


def newest(positions: Positions) -> dict[str, FrameId]:
    """Id of the last record that each stream has on `detections`."""
    return {
        name: p.next if p.ended else FrameId(p.next.epoch, p.next.sequence - 1)
        for name, p in positions.streams.items()
        if p.ended or p.next.sequence > 0
    }


def dump_positions(streams: dict[str, Position], complete: bool = True, attempt: Attempt | None = None) -> str:
    """Metadata of a committed offset; the streams that moved last come last and are kept if room is short."""
    head: dict[str, object] = {"v": 1, "complete": complete}
    if attempt:
        head["attempt"] = attempt.dump()
    room = LIMIT_BYTES - len(orjson.dumps(head)) - _BESIDES_BYTES
    rows: list[bytes] = []
    behind: list[GapReason] = []
    states = 0  # a bit for each row, the last one's first
    # From the last one on, and no further than there is room: there may be thousands, and it is done for every commit.
    for name, position in reversed(streams.items()):
        row = orjson.dumps({name: [position.next.epoch, position.next.sequence, int(position.ended)]})[1:-1]
        room -= len(row) + 1 + (len(rows) % 4 == 0)
        if room < 0:
            head["complete"] = False
            break
        states |= position.has_state << len(rows)
        rows.append(row)
        if position.unread:
            behind.append(position.unread)
    head["states"] = f"{states:x}"
    if behind:
        # Those that have not moved since a part of the log was stepped over: they are the first ones.
        head["unread"] = [behind[-1], len(behind)]
    return (orjson.dumps(head)[:-1] + b',"streams":{' + b",".join(reversed(rows)) + b"}}").decode()


def load_positions(text: str | None) -> Positions:
    """The reverse; what another program has written there counts as nothing known."""
    if not text:
        return Positions({})
    try:
        record = orjson.loads(text)
        reason, unread = _unread(record.get("unread"))
        states = int(record.get("states", "-1"), 16)  # written before there was this: any of them
        streams: dict[str, Position] = {}
        for number, (name, (epoch, sequence, ended)) in enumerate(record["streams"].items(), 1):
            has_state = bool(states >> len(record["streams"]) - number & 1)
            reached = FrameId(count(epoch), count(sequence))
            streams[name] = Position(reached, bool(ended), reason if number <= unread else None, has_state)
        return Positions(streams, bool(record["complete"]), _attempt(record.get("attempt")))
    except (ValueError, KeyError, TypeError, AttributeError):
        return Positions({}, complete=False)


def _unread(row: object) -> tuple[GapReason | None, int]:
    """Why a part of the log was stepped over, and how many of the streams have not moved since."""
    match row:
        case [GapReason.STALE.value | GapReason.EXPIRED.value as reason, int(streams)]:
            return GapReason(reason), streams
    return None, 0


def _attempt(row: object) -> Attempt | None:
    match row:
        case [int(until), int() | None as group_end, int() | None as alone, int(tries)]:
            return Attempt(until, group_end, alone, tries)
    return None
