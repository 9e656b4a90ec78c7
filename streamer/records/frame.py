"""The record on topic `frames`: a JPEG as it is, and who it is in CloudEvents headers.

CloudEvents 1.0, binary mode of its Kafka binding: any CloudEvents consumer can read it, and ours never
decodes a picture to learn its size.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from streamer.errors import RecordError
from streamer.records.identity import FrameId

FRAME_TYPE = "streamer.frame.v1"
END_TYPE = "streamer.end.v1"
CONTENT_TYPE = "image/jpeg"

Headers = list[tuple[str, bytes]]
Matrix = tuple[float, float, float, float, float, float]
"""Row-major 2x3 affine: x' = m0*x + m1*y + m2, y' = m3*x + m4*y + m5. Pixel centres are at +0.5."""


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """Everything about a frame but its picture.

    stream: the stream's name; also the record's key.
    captured_ms: when the producer got the picture, by its own clock, in ms since 1970; the record's Kafka
        timestamp, never falling within a stream.
    source_time: the source's own time of the picture in seconds: since 1970 where the source knows it (RTCP),
        else the presentation time since the source's start; None if the source gives none.
    index: number of the picture in the source as decoded, counted from 0, before sampling.
    pts: presentation time stamp in the source's own time base, None if missing.
    width, height: of the JPEG, in pixels.
    source_width, source_height: of the upright source picture (after rotation metadata), in pixels.
    matrix: JPEG pixels -> upright source pixels.
    """

    stream: str
    id: FrameId
    captured_ms: int
    index: int
    width: int
    height: int
    source_width: int
    source_height: int
    matrix: Matrix
    pts: int | None = None
    source_time: float | None = None
    traceparent: str = ""

    def to_headers(self) -> Headers:
        """Kafka headers of the record."""
        headers = _cloud_event(FRAME_TYPE, self.stream, self.id, self.captured_ms)
        headers += [
            ("content-type", CONTENT_TYPE.encode()),
            ("ce_index", b"%d" % self.index),
            ("ce_width", b"%d" % self.width),
            ("ce_height", b"%d" % self.height),
            ("ce_sourcewidth", b"%d" % self.source_width),
            ("ce_sourceheight", b"%d" % self.source_height),
            ("ce_matrix", ",".join(map(repr, self.matrix)).encode()),
        ]
        if self.pts is not None:
            headers.append(("ce_pts", b"%d" % self.pts))
        if self.source_time is not None:
            headers.append(("ce_sourcetime", b"%.6f" % self.source_time))
        if self.traceparent:
            headers.append(("traceparent", self.traceparent.encode()))
        return headers


@dataclass(frozen=True, slots=True)
class EndHeader:
    """A run of a source is over: a record without a value on `frames`, behind the run's last frame.

    id.sequence: one more than the last frame's, so that frames dropped at the very end are a visible hole too.
    error: empty if the source came to its end, else why it failed (without credentials).
    """

    stream: str
    id: FrameId
    captured_ms: int
    error: str = ""

    def to_headers(self) -> Headers:
        """Kafka headers of the record."""
        headers = _cloud_event(END_TYPE, self.stream, self.id, self.captured_ms)
        if self.error:
            headers.append(("ce_error", self.error.encode()))
        return headers


def parse_headers(headers: Sequence[tuple[str, bytes]], timestamp_ms: int) -> FrameHeader | EndHeader:
    """The header of a record on `frames`.

    Raises:
        RecordError: these are not headers that our producer writes.
    """
    found: Mapping[str, bytes] = dict(headers)
    try:
        kind = found["ce_type"].decode()
        stream = found["ce_source"].decode().removeprefix("/streams/")
        frame_id = FrameId(int(found["ce_epoch"]), int(found["ce_sequence"]))
        if frame_id.epoch <= 0 or frame_id.sequence < 0 or not stream:
            raise ValueError(f"identity {stream!r} {frame_id}")
        if kind == END_TYPE:
            return EndHeader(stream, frame_id, timestamp_ms, found.get("ce_error", b"").decode())
        if kind != FRAME_TYPE:
            raise ValueError(f"type {kind!r}")
        return _frame_header(found, stream, frame_id, timestamp_ms)
    except KeyError as error:
        raise RecordError(f"not a frame of ours: header {error.args[0]} is missing") from None
    except (ValueError, UnicodeDecodeError, AttributeError, TypeError) as error:
        raise RecordError(f"not a frame of ours: {error}") from None


def _frame_header(found: Mapping[str, bytes], stream: str, frame_id: FrameId, timestamp_ms: int) -> FrameHeader:
    m0, m1, m2, m3, m4, m5 = map(float, found["ce_matrix"].decode().split(","))
    width, height = int(found["ce_width"]), int(found["ce_height"])
    source_width, source_height = int(found["ce_sourcewidth"]), int(found["ce_sourceheight"])
    if min(width, height, source_width, source_height) < 1 or max(width, height) > 65535:
        raise ValueError(f"picture size {width}x{height} of {source_width}x{source_height}")
    pts, source_time = found.get("ce_pts"), found.get("ce_sourcetime")
    return FrameHeader(
        stream,
        frame_id,
        timestamp_ms,
        int(found["ce_index"]),
        width,
        height,
        source_width,
        source_height,
        (m0, m1, m2, m3, m4, m5),
        None if pts is None else int(pts),
        None if source_time is None else float(source_time),
        found.get("traceparent", b"").decode(),
    )


def _cloud_event(kind: str, stream: str, frame_id: FrameId, captured_ms: int) -> Headers:
    return [
        ("ce_specversion", b"1.0"),
        ("ce_type", kind.encode()),
        ("ce_source", f"/streams/{stream}".encode()),
        ("ce_id", str(frame_id).encode()),
        ("ce_time", rfc3339(captured_ms).encode()),
        ("ce_epoch", b"%d" % frame_id.epoch),
        ("ce_sequence", b"%d" % frame_id.sequence),
    ]


def rfc3339(unix_ms: int) -> str:
    """`unix_ms` as 2026-01-31T12:00:00.123Z."""
    return datetime.fromtimestamp(unix_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{unix_ms % 1000:03d}Z"
