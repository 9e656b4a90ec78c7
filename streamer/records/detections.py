"""The records on topic `detections` and in Redis: a Result per processed frame, a Gap per range that has none.

Results, gaps and ends of a stream together cover every sequence number, in order, each once.
Field names of a result are those of NVIDIA's nv.Frame (id, timestamp, sensorId, objects[id, bbox, type,
confidence, info]), so that consumers written for DeepStream or VSS read it unchanged.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

import orjson

from streamer.errors import RecordError
from streamer.records.fields import count, integer, parse_rfc3339, real, text
from streamer.records.frame import rfc3339
from streamer.records.identity import FrameId

SCHEMA_VERSION = "4.0"  # of nv.Frame


class GapReason(StrEnum):
    """Why a range of frames has no result."""

    STALE = "stale"  # skipped by the worker, because the stream's freshness says so
    DROPPED = "dropped"  # by the producer: its queue was full, or it died
    EXPIRED = "expired"  # deleted by the topic's retention before a worker came to them
    DEAD = "dead"  # nobody can do it; set aside on `frames.dead`
    REFUSED = "refused"  # the picture is smaller than the model needs
    UNCHANGED = "unchanged"  # the motion gate saw nothing new


@dataclass(frozen=True, slots=True)
class BBox:
    """Corners in upright source pixels: left and top inclusive, right and bottom exclusive."""

    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True, slots=True)
class DetectedObject:
    """One object in a frame.

    id: the track's, counted from 1 in each epoch; empty if it has none yet. Where nothing tracks, the object's index
        in the frame.
    info: `track` is `tentative` while the track may still turn out to be nothing.
    """

    id: str
    bbox: BBox
    type: str
    confidence: float
    info: Mapping[str, str] = field(default_factory=dict)

    def to_fields(self) -> dict[str, Any]:
        """As JSON values: pixels to the hundredth, confidence to the ten thousandth."""
        box = self.bbox
        return {
            "id": self.id,
            "bbox": {
                "leftX": round(float(box.left), 2),
                "topY": round(float(box.top), 2),
                "rightX": round(float(box.right), 2),
                "bottomY": round(float(box.bottom), 2),
            },
            "type": self.type,
            "confidence": round(float(self.confidence), 4),
            "info": dict(self.info),
        }

    @classmethod
    def from_fields(cls, record: Mapping[str, Any]) -> Self:
        """The reverse.

        Raises:
            KeyError, TypeError, AttributeError: it is none.
        """
        box = record["bbox"]
        return cls(
            text(record["id"]),
            BBox(real(box["leftX"]), real(box["topY"]), real(box["rightX"]), real(box["bottomY"])),
            text(record["type"]),
            real(record["confidence"]),
            {key: text(value) for key, value in record.get("info", {}).items()},
        )


@dataclass(frozen=True, slots=True)
class Result:
    """What a pipeline found in one frame; an empty frame is a result too.

    captured_ms: when the producer got the picture, ms since 1970.
    source_time: the source's own time in seconds, see FrameHeader.
    width, height: of the upright source picture, in pixels.
    candidates: what the detector was less sure of than an object has to be; it lets a tracker follow what is half
        hidden. None where nothing tracks.
    engine: what found it: name, version, model and its hash.
    latency_ms: time spent per stage, in ms, in the order of the stages.
    """

    pipeline: str
    stream: str
    id: FrameId
    captured_ms: int
    width: int
    height: int
    objects: tuple[DetectedObject, ...]
    source_time: float | None = None
    index: int | None = None
    pts: int | None = None
    engine: Mapping[str, str] = field(default_factory=dict)
    latency_ms: Mapping[str, float] = field(default_factory=dict)
    traceparent: str = ""
    candidates: tuple[DetectedObject, ...] | None = None

    @property
    def redis_id(self) -> str:
        """Id in the Redis stream."""
        return str(self.id)

    def to_json(self) -> bytes:
        """The record's value: one line of JSON."""
        record: dict[str, Any] = {
            "kind": "frame",
            "version": SCHEMA_VERSION,
            "id": str(self.id),
            "timestamp": rfc3339(self.captured_ms),
            "sensorId": self.stream,
            "objects": [o.to_fields() for o in self.objects],
            "pipeline": self.pipeline,
            "epoch": self.id.epoch,
            "sequence": self.id.sequence,
            "width": self.width,
            "height": self.height,
            "engine": dict(self.engine),
            "latencyMs": dict(self.latency_ms),
        }
        optional = {"sourceTime": self.source_time, "index": self.index, "pts": self.pts}
        record.update({key: value for key, value in optional.items() if value is not None})
        if self.traceparent:
            record["traceparent"] = self.traceparent
        if self.candidates is not None:
            record["candidates"] = [o.to_fields() for o in self.candidates]
        return orjson.dumps(record, option=orjson.OPT_SERIALIZE_NUMPY)

    @classmethod
    def _from(cls, record: Mapping[str, Any]) -> Self:
        return cls(
            text(record["pipeline"]),
            text(record["sensorId"]),
            FrameId(count(record["epoch"]), count(record["sequence"])),
            parse_rfc3339(record["timestamp"]),
            count(record["width"]),
            count(record["height"]),
            tuple([DetectedObject.from_fields(o) for o in record["objects"]]),
            None if record.get("sourceTime") is None else real(record["sourceTime"]),
            None if record.get("index") is None else count(record["index"]),
            None if record.get("pts") is None else integer(record["pts"]),
            {key: text(value) for key, value in record["engine"].items()},
            {key: real(value) for key, value in record["latencyMs"].items()},
            text(record.get("traceparent", "")),
            tuple([DetectedObject.from_fields(o) for o in record["candidates"]]) if "candidates" in record else None,
        )


@dataclass(frozen=True, slots=True)
class Gap:
    """A range of frames that have no result, and why.

    first: the first frame without one.
    last_sequence: the last frame's sequence, in the same epoch; None: to the end of the epoch.
    """

    pipeline: str
    stream: str
    first: FrameId
    last_sequence: int | None
    reason: GapReason
    recorded_ms: int
    detail: str = ""

    @property
    def count(self) -> int | None:
        """How many frames; None: unknown."""
        return None if self.last_sequence is None else self.last_sequence - self.first.sequence + 1

    @property
    def id(self) -> FrameId:
        """Identity of the last frame covered, as far as it is known."""
        return self.first if self.last_sequence is None else FrameId(self.first.epoch, self.last_sequence)

    @property
    def redis_id(self) -> str:
        """Id in the Redis stream."""
        return str(self.id)

    def to_json(self) -> bytes:
        """The record's value: one line of JSON."""
        return orjson.dumps(
            {
                "kind": "gap",
                "version": SCHEMA_VERSION,
                "id": self.redis_id,
                "timestamp": rfc3339(self.recorded_ms),
                "sensorId": self.stream,
                "pipeline": self.pipeline,
                "epoch": self.first.epoch,
                "first": self.first.sequence,
                "last": self.last_sequence,
                "count": self.count,
                "reason": self.reason.value,
                "detail": _utf8(self.detail),
            }
        )

    @classmethod
    def _from(cls, record: Mapping[str, Any]) -> Self:
        return cls(
            text(record["pipeline"]),
            text(record["sensorId"]),
            FrameId(count(record["epoch"]), count(record["first"])),
            None if record["last"] is None else count(record["last"]),
            GapReason(record["reason"]),
            parse_rfc3339(record["timestamp"]),
            text(record.get("detail", "")),
        )


@dataclass(frozen=True, slots=True)
class End:
    """A run of a source is over and everything before is covered. id.sequence: how many frames the run had."""

    pipeline: str
    stream: str
    id: FrameId
    recorded_ms: int
    error: str = ""

    @property
    def redis_id(self) -> str:
        """Id in the Redis stream."""
        return str(self.id)

    def to_json(self) -> bytes:
        """The record's value: one line of JSON."""
        return orjson.dumps(
            {
                "kind": "end",
                "version": SCHEMA_VERSION,
                "id": self.redis_id,
                "timestamp": rfc3339(self.recorded_ms),
                "sensorId": self.stream,
                "pipeline": self.pipeline,
                "epoch": self.id.epoch,
                "sequence": self.id.sequence,
                "error": _utf8(self.error),
            }
        )

    @classmethod
    def _from(cls, record: Mapping[str, Any]) -> Self:
        return cls(
            text(record["pipeline"]),
            text(record["sensorId"]),
            FrameId(count(record["epoch"]), count(record["sequence"])),
            parse_rfc3339(record["timestamp"]),
            text(record.get("error", "")),
        )


Detection = Result | Gap | End


def parse_detection(value: bytes | str) -> Detection:
    """The record that a line of JSON is.

    Raises:
        RecordError: it is none of ours.
    """
    try:
        record = orjson.loads(value)
        match record["kind"]:
            case "frame":
                return Result._from(record)
            case "gap":
                return Gap._from(record)
            case "end":
                return End._from(record)
            case kind:
                raise ValueError(f"kind {kind!r}")
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise RecordError(f"not a detections record: {error!r:.200}") from None


def _utf8(text: str) -> str:
    """A file's name may be no UTF-8; it is then a text with lone surrogates, which JSON can't hold."""
    return text.encode(errors="backslashreplace").decode()
