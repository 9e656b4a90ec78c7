"""Streaming video processing: video in, detections out, over Kafka and Redis.

For programs that read results: `from streamer import Events, Results, latest_results`. Loaded on use, so that
`import streamer` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streamer.records import BBox, DetectedObject, Detection, End, Event, EventKind, Gap, GapReason, Result
    from streamer.results import Events, Results, latest_results, load_settings, preview

__version__ = "0.1.0"
__all__ = [
    "BBox",
    "DetectedObject",
    "Detection",
    "End",
    "Event",
    "EventKind",
    "Events",
    "Gap",
    "GapReason",
    "Result",
    "Results",
    "latest_results",
    "load_settings",
    "preview",
]

_FROM_RESULTS = ("Events", "Results", "latest_results", "load_settings", "preview")


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'streamer' has no attribute {name!r}")
    return getattr(import_module("streamer.results" if name in _FROM_RESULTS else "streamer.records"), name)
