"""The record on topic `frames`: a JPEG as it is, and who it is in CloudEvents headers.

CloudEvents 1.0, binary mode of its Kafka binding: any CloudEvents consumer can read it, and ours never
decodes a picture to learn its size.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from math import isfinite

from streamer.errors import RecordError, UsageError
from streamer.records.identity import FrameId, check_name

FRAME_TYPE = "streamer.frame.v1"
END_TYPE = "streamer.end.v1"
CONTENT_TYPE = "image/jpeg"
SOURCE_PREFIX = "/streams/"
LARGEST = 2**63 - 1  # of every number: both halves of an id in Redis are 64 bits
LARGEST_SIDE = 65_535  # of a JPEG, in pixels
LARGEST_FACTOR = 1e7  # in a matrix: boxes moved by it are still pixels of 32-bit floats
LATEST_MS = 253_402_300_799_999  # the end of the year 9999: later moments have no RFC 3339

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
            *_geometry_headers(self.width, self.height, self.source_width, self.source_height, self.matrix),
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
            # A file's name may be no UTF-8; it is then a text with lone surrogates.
            headers.append(("ce_error", self.error.encode(errors="backslashreplace")))
        return headers


def parse_headers(headers: Sequence[tuple[str, bytes]], timestamp_ms: int) -> FrameHeader | EndHeader:
    """The header of a record on `frames`.

    Raises:
        RecordError: these are not headers that our producer writes.
    """
    try:
        found: Mapping[str, bytes] = dict(headers)
        kind = found["ce_type"].decode()
        stream = _stream(found["ce_source"].decode())
        frame_id = FrameId(_number(found["ce_epoch"], 1), _number(found["ce_sequence"]))
        if not 0 <= timestamp_ms <= LATEST_MS:
            raise ValueError(f"time {timestamp_ms} ms is not within 1970 and 9999")
        if kind == END_TYPE:
            return EndHeader(stream, frame_id, timestamp_ms, found.get("ce_error", b"").decode())
        if kind != FRAME_TYPE:
            raise ValueError(f"type {kind!r}")
        return _frame_header(found, stream, frame_id, timestamp_ms)
    except KeyError as error:
        raise RecordError(f"not a frame of ours: header {error.args[0]} is missing") from None
    except (ValueError, AttributeError, TypeError, UsageError) as error:
        raise RecordError(f"not a frame of ours: {str(error)[:200]}") from None


def _frame_header(found: Mapping[str, bytes], stream: str, frame_id: FrameId, timestamp_ms: int) -> FrameHeader:
    sides = found["ce_width"], found["ce_height"], found["ce_sourcewidth"], found["ce_sourceheight"]
    pts, source_time = found.get("ce_pts"), found.get("ce_sourcetime")
    return FrameHeader(
        stream,
        frame_id,
        timestamp_ms,
        _number(found["ce_index"]),
        *_geometry(*sides, found["ce_matrix"]),
        None if pts is None else _number(pts, -LARGEST),
        None if source_time is None else _finite(source_time),
        found.get("traceparent", b"").decode(),
    )


# All frames of a stream share their geometry, and its numbers are half of a header.


@lru_cache(maxsize=256)
def _geometry_headers(width: int, height: int, source_width: int, source_height: int, matrix: Matrix) -> Headers:
    return [
        ("ce_width", b"%d" % width),
        ("ce_height", b"%d" % height),
        ("ce_sourcewidth", b"%d" % source_width),
        ("ce_sourceheight", b"%d" % source_height),
        ("ce_matrix", ",".join(map(repr, matrix)).encode()),
    ]


@lru_cache(maxsize=256)
def _geometry(
    width: bytes, height: bytes, source_width: bytes, source_height: bytes, matrix: bytes
) -> tuple[int, int, int, int, Matrix]:
    m0, m1, m2, m3, m4, m5 = map(_factor, matrix.split(b","))
    return (
        _number(width, 1, LARGEST_SIDE),
        _number(height, 1, LARGEST_SIDE),
        _number(source_width, 1),
        _number(source_height, 1),
        (m0, m1, m2, m3, m4, m5),
    )


def _stream(source: str) -> str:
    if not source.startswith(SOURCE_PREFIX):
        raise ValueError(f"source {source!r}")
    return check_name(source.removeprefix(SOURCE_PREFIX), "stream")


def _number(text: bytes, smallest: int = 0, largest: int = LARGEST) -> int:
    number = int(text)
    if not smallest <= number <= largest:
        raise ValueError(f"{number} is not within {smallest} and {largest}")
    return number


def _finite(text: bytes) -> float:
    if len(text) > 64:  # it would be kept, as part of a geometry
        raise ValueError(f"a number of {len(text)} characters")
    number = float(text)
    if not isfinite(number):
        raise ValueError(f"{number} is no finite number")
    return number


def _factor(text: bytes) -> float:
    number = _finite(text)
    if abs(number) > LARGEST_FACTOR:
        raise ValueError(f"{number} in a matrix is beyond {LARGEST_FACTOR:.0f}")
    return number


def _cloud_event(kind: str, stream: str, frame_id: FrameId, captured_ms: int) -> Headers:
    return [
        ("ce_specversion", b"1.0"),
        ("ce_type", kind.encode()),
        ("ce_source", f"{SOURCE_PREFIX}{stream}".encode()),
        ("ce_id", str(frame_id).encode()),
        ("ce_time", rfc3339(captured_ms).encode()),
        ("ce_epoch", b"%d" % frame_id.epoch),
        ("ce_sequence", b"%d" % frame_id.sequence),
    ]


def rfc3339(unix_ms: int) -> str:
    """`unix_ms` as 2026-01-31T12:00:00.123Z."""
    second, ms = divmod(unix_ms, 1000)
    return f"{_second(second)}.{ms:03d}Z"


@lru_cache(maxsize=256)
def _second(unix_s: int) -> str:
    # Formatting a date takes 5 us, and all frames of a second share it.
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%S")
