"""A frame between poll and commit, and what one commit writes."""

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from consumers.positions import Position
from streamer.records import Death, Detection, End, EndHeader, Event, FrameHeader, FrameId, Gap, GapReason, Result

Partition = int


@dataclass(slots=True, eq=False)
class Entry:
    """One record of `frames` between poll and commit.

    membership: the group metadata of the poll that brought it, never read later: a newer one would let a
    worker commit what it no longer owns. stepped_over: why the log right before the record was not read, if it wasn't.
    """

    partition: Partition
    offset: int
    membership: Any
    header: FrameHeader | EndHeader | None
    jpeg: bytes
    polled_ms: int
    headers: list[tuple[str, bytes]] = field(default_factory=list)
    gaps_before: tuple[Gap, ...] = ()
    outcome: Result | End | GapReason | None = None
    detail: str = ""
    dead: Death | None = None
    position: Position | None = None
    patient: bool = False  # of a stream whose results may wait to be committed together
    taken: bool = False  # by a lane
    done: bool = False
    abandoned: bool = False
    stages: dict[str, float] = field(default_factory=dict)
    stepped_over: GapReason | None = None
    foreign: bool = False  # another pipeline's: neither a result nor a gap
    track: bool = False
    motion_gate_s: float | None = None


class Channel(NamedTuple):
    """Where a record goes: the records of one channel are in order, and their ids grow."""

    log: Literal["detections", "events"]
    stream: str


@dataclass(frozen=True, slots=True)
class Row:
    """A record of `detections` or `events` and its bytes, made once for Kafka and Redis.

    written_ms: when it came into the log from which it is read; None: it was made here, now.
    """

    partition: Partition
    record: Detection | Event
    value: bytes
    written_ms: int | None = None

    @property
    def channel(self) -> Channel:
        """Where it goes."""
        return Channel("events" if isinstance(self.record, Event) else "detections", self.record.stream)

    @property
    def id(self) -> FrameId:
        """By which the records of its channel are ordered."""
        record = self.record
        return FrameId(record.frame.epoch, record.number) if isinstance(record, Event) else record.id


@dataclass(slots=True)
class Batch:
    """What one transaction writes: records in order per partition, dead frames, and offsets with positions.

    rows: records and events with their bytes, once those are made. states: per partition and stream, for topic `state`;
    None: there is nothing more to remember. forgotten: streams that ended so long ago that the worker forgets them.
    """

    membership: Any
    entries: list[Entry] = field(default_factory=list)
    records: list[tuple[Partition, Detection]] = field(default_factory=list)
    events: list[tuple[Partition, Event]] = field(default_factory=list)
    dead: list[Entry] = field(default_factory=list)
    offsets: dict[Partition, tuple[int, str]] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    states: dict[tuple[Partition, str], bytes | None] = field(default_factory=dict)
    forgotten: list[tuple[Partition, str]] = field(default_factory=list)

    @property
    def patient(self) -> bool:
        """Whether nobody waits for results such as these."""
        return bool(self.entries) and all(entry.patient for entry in self.entries)
