"""A decoded picture on its way from a source to the encoder."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import av


@dataclass(slots=True)
class Picture:
    """One picture as the decoder gave it. The frame's planes belong to whoever holds the picture.

    frame: the decoded picture in the source's own pixel format and size, not yet upright.
    index: number of the picture in the source, in the order of presentation, counted from 0, before sampling.
    pts: presentation time stamp in the source's own time base, None if missing.
    seconds: presentation time since the source's start, cleaned so that it never goes back; None if the source
        gives no time at all. For pacing and sampling.
    source_time: the source's own time in seconds: since 1970 where the source knows it (RTCP), else since its
        start; None if the source gives none. As it came: it may go back.
    rotation: degrees clockwise (0, 90, 180, 270) still to be applied to make the picture upright.
    captured_ms: when we got the picture, by our own clock, in ms since 1970; for paced files when it was due.
    """

    frame: "av.VideoFrame"
    index: int
    pts: int | None
    seconds: float | None
    source_time: float | None
    rotation: int
    captured_ms: int
