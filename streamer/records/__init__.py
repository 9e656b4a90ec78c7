"""What travels on the topics and lies in Redis: one definition each, with a JSON schema beside it."""

from streamer.records.dead import DeadCause, DeadFrame, Death, parse_dead
from streamer.records.detections import BBox, DetectedObject, Detection, End, Gap, GapReason, Result, parse_detection
from streamer.records.events import Direction, Event, EventKind
from streamer.records.frame import EndHeader, FrameHeader, Matrix, parse_headers, rfc3339
from streamer.records.identity import ZERO, FrameId, check_name

__all__ = [
    "ZERO",
    "BBox",
    "DeadCause",
    "DeadFrame",
    "Death",
    "DetectedObject",
    "Detection",
    "Direction",
    "End",
    "EndHeader",
    "Event",
    "EventKind",
    "FrameHeader",
    "FrameId",
    "Gap",
    "GapReason",
    "Matrix",
    "Result",
    "check_name",
    "parse_dead",
    "parse_detection",
    "parse_headers",
    "rfc3339",
]
