"""What somebody found in a frame, or why nobody says."""

from dataclasses import dataclass
from typing import Any, Protocol

from consumers.replay.retained import RetainedFrame
from streamer.records import DetectedObject, FrameId


@dataclass(frozen=True, slots=True)
class Look:
    """objects: in upright source pixels; None: it has no result, for the reason `why`, of which `detail` says more.

    repeats: the frame whose result this is, where the motion gate saw nothing new.
    """

    objects: tuple[DetectedObject, ...] | None
    why: str = ""
    detail: str = ""
    repeats: FrameId | None = None


class Looker(Protocol):
    """One of the two sides that are compared."""

    def look(self, frame: RetainedFrame) -> Look:
        """At the frames of a stream, in order."""

    def to_json(self) -> dict[str, Any]:
        """Who it is, and what its looks have cost."""

    @property
    def name(self) -> str:
        """For people."""

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Names of those that it knows; None: not known."""
