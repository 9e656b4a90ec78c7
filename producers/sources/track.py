"""One video stream of an open container: packets in, numbered and timed pictures out."""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from producers.picture import Picture
from producers.sources.decoder import Decoder
from producers.sources.numbering import Counted, Ranked
from producers.sources.skipping import Need, Planned
from producers.sources.timeline import ArrivalTimeline, Timeline
from streamer.moments import unix_ms

if TYPE_CHECKING:
    import av

    from producers.sources.container import VideoPacket

SourceClock = Callable[["av.VideoFrame", float], float | None]


class Track:
    """Turns the packets of one stream into pictures. Belongs to one thread.

    clock: gives Picture.source_time for a frame and its Picture.seconds.
    """

    def __init__(
        self,
        decoder: Decoder,
        numbering: Counted | Ranked,
        timeline: Timeline | ArrivalTimeline,
        clock: SourceClock | None = None,
    ) -> None:
        self._decoder, self._numbering, self._timeline = decoder, numbering, timeline
        self._clock = clock or (lambda frame, seconds: None if frame.pts is None else seconds)

    def pictures(self, planned: Iterable[Planned]) -> Iterator[Picture]:
        """The pictures of these packets, in order of presentation."""
        gap = False
        for packet, need in planned:
            if packet.size and not packet.is_discard:
                self._numbering.sent(packet.pts)
            if packet.size and need in (Need.NOTHING, Need.GAP):
                gap = gap or need is Need.GAP
                continue
            if gap and packet.size:
                gap = False
                yield from map(self._picture, self._decoder.begin_anew())
            yield from map(self._picture, self._decoder.decode(packet, disposable=need is Need.REFERENCE))

    def _picture(self, frame: "av.VideoFrame") -> Picture:
        seconds = self._timeline.seconds(frame.pts, frame.dts)
        return Picture(
            frame=frame,
            index=self._numbering.number(frame.pts),
            pts=frame.pts,
            seconds=seconds,
            source_time=self._clock(frame, seconds),
            rotation=upright_rotation(frame.rotation),
            captured_ms=unix_ms(),
        )


def upright_rotation(degrees_counterclockwise: int) -> int:
    """A display matrix's angle as degrees clockwise still to be applied: 0, 90, 180 or 270."""
    return round(-degrees_counterclockwise / 90) % 4 * 90


def all_needed(packets: "Iterable[VideoPacket]") -> Iterator[Planned]:
    """Every packet, for its picture."""
    for packet in packets:
        yield packet, Need.PICTURE
