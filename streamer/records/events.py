"""The record on topic `events`: what became of one object, in one zone or at one line.

Field names are those of NVIDIA's nv.Behavior (id, timestamp, end, timeInterval, direction, place, sensor, object,
event[id, type, info]) where it has one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

import orjson

from streamer.errors import RecordError
from streamer.records.detections import SCHEMA_VERSION, DetectedObject
from streamer.records.fields import count, parse_rfc3339, real, text
from streamer.records.frame import rfc3339
from streamer.records.identity import FrameId


class EventKind(StrEnum):
    """What happened. Those of an object: NEW, UPDATE, END. Of its visit to a zone: ENTER, DWELL, LEAVE."""

    NEW = "new"  # an object is there
    UPDATE = "update"  # it is still there
    END = "end"  # it has not been seen for so long that it counts as gone
    ENTER = "enter"
    DWELL = "dwell"  # it has been in the zone for as long as the zone says
    LEAVE = "leave"
    CROSS = "cross"  # a line


class Direction(StrEnum):
    """Which side of a line an object went to, as seen from the line's start towards its end."""

    LEFT = "left"
    RIGHT = "right"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to an object.

    frame: in which it was noticed. number: of this record within the stream's epoch, from 0, without holes.
    life: one id for all that belongs together: an object's events, those of one visit to a zone, one crossing.
    object: as it was seen last. began_ms, ended_ms: when it began and how far it has come, times of capture, ms
        since 1970. An event is noticed later than that: a zone is entered once the object has stayed there.
    seconds: from one to the other, by the source's time.
    place: name of the zone or line, empty for what concerns the object itself. direction: of a crossing.
    counts: of the place, this event included: of a zone, `inside` and `entered`; of a line, `left` and `right`.
    """

    pipeline: str
    stream: str
    frame: FrameId
    number: int
    life: str
    kind: EventKind
    object: DetectedObject
    began_ms: int
    ended_ms: int
    seconds: float
    place: str = ""
    direction: Direction | None = None
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def redis_id(self) -> str:
        """Id in the Redis stream: grows from event to event."""
        return f"{self.frame.epoch}-{self.number}"

    def to_json(self) -> bytes:
        """The record's value: one line of JSON."""
        record: dict[str, Any] = {
            "kind": "event",
            "version": SCHEMA_VERSION,
            "id": self.redis_id,
            "timestamp": rfc3339(self.began_ms),
            "end": rfc3339(self.ended_ms),
            "timeInterval": round(float(self.seconds), 3),
            "sensor": {"id": self.stream},
            "object": self.object.to_fields(),
            "event": {"id": self.life, "type": self.kind.value, "info": {}},
            "pipeline": self.pipeline,
            "epoch": self.frame.epoch,
            "sequence": self.frame.sequence,
            "number": self.number,
        }
        if self.place:
            kind = "line" if self.kind is EventKind.CROSS else "zone"
            record |= {"place": {"id": self.place, "type": kind}, "counts": dict(self.counts)}
        if self.direction is not None:
            record["direction"] = self.direction.value
        return orjson.dumps(record)

    @classmethod
    def from_json(cls, value: bytes | str) -> Self:
        """The event that a line of JSON is.

        Raises:
            RecordError: it is none of ours.
        """
        try:
            return cls._from(orjson.loads(value))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise RecordError(f"not an events record: {error!r:.200}") from None

    @classmethod
    def _from(cls, record: Mapping[str, Any]) -> Self:
        if record["kind"] != "event":
            raise ValueError(f"kind {record['kind']!r}")
        return cls(
            text(record["pipeline"]),
            text(record["sensor"]["id"]),
            FrameId(count(record["epoch"]), count(record["sequence"])),
            count(record["number"]),
            text(record["event"]["id"]),
            EventKind(record["event"]["type"]),
            DetectedObject.from_fields(record["object"]),
            parse_rfc3339(record["timestamp"]),
            parse_rfc3339(record["end"]),
            real(record["timeInterval"]),
            text(record["place"]["id"]) if "place" in record else "",
            Direction(record["direction"]) if "direction" in record else None,
            {name: count(number) for name, number in record.get("counts", {}).items()},
        )
