"""Where to go on in a file so that the next picture is exactly number N.

Packets are read without being decoded, some thousand times faster than decoding, up to the key picture behind
number N; then the file is decoded from the key picture before it.
"""

from bisect import bisect_left
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import av

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream


@dataclass(frozen=True, slots=True)
class Entry:
    """A key picture to start decoding at. pts: its time stamp. number: its number in the source."""

    pts: int
    number: int


def seek_before(container: "InputContainer", stream: "VideoStream", number: int) -> Entry | None:
    """Places a freshly opened container at a key picture not behind picture `number`.

    None: there is no exact way, and the container stands anywhere; open it again and decode from its start.
    """
    try:
        entries = _entries(container, stream, number)
        if entries is None:
            return None
        target = max((e for e in entries if e.number <= number), key=lambda e: e.number, default=None)
        if target is None:
            return None
        container.seek(target.pts, stream=stream)
        packet = next(iter(container.demux(stream)))
        container.seek(target.pts, stream=stream)
    except (av.error.FFmpegError, StopIteration):
        return None
    # The seek goes by decoding time, so it may end at an earlier key picture. Never at one that we don't know.
    landed = next((e for e in entries if e.pts == packet.pts), None)
    return landed if landed and landed.number <= number else None


def _entries(container: "InputContainer", stream: "VideoStream", number: int) -> list[Entry] | None:
    stamps: list[int] = []
    keys: list[int] = []
    highest = None
    for packet in container.demux(stream):
        if not packet.size or packet.is_discard:
            continue
        if packet.pts is None or packet.is_corrupt:
            return None
        if packet.is_keyframe:
            # A key picture that is shown before earlier ones can't be an entry: what is between them is undefined.
            if highest is not None and packet.pts <= highest:
                return None
            if len(stamps) > number:
                break
            keys.append(packet.pts)
        stamps.append(packet.pts)
        highest = packet.pts if highest is None else max(highest, packet.pts)
    stamps.sort()
    if any(a == b for a, b in pairwise(stamps)):
        return None
    return [Entry(pts, bisect_left(stamps, pts)) for pts in keys]
