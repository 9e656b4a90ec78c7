"""A camera's own time of day."""

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import av

    from producers.sources.container import VideoPacket

_YEAR_2000_US = 946_684_800_000_000


class ReportedClock:
    """The sender's clock from RTCP reports, which FFmpeg puts beside the packets that follow one."""

    def __init__(self) -> None:
        self._offset: float | None = None
        self._tick = 0.0

    def read(self, packet: "VideoPacket") -> None:
        """Takes the time from a packet that has one: AVProducerReferenceTime, us since 1970 and flags."""
        if packet.pts is None or not packet.has_sidedata("prft"):
            return
        wall_us, _ = struct.unpack_from("<qi", bytes(packet.get_sidedata("prft")))
        self._tick = float(packet.time_base)
        # A camera whose clock isn't set counts from 1900, 1970 or its start: no time of day.
        self._offset = wall_us / 1e6 - packet.pts * self._tick if wall_us >= _YEAR_2000_US else None

    def time(self, frame: "av.VideoFrame", _: float) -> float | None:
        """Seconds since 1970 of a frame; None before the first report (2 to 5 s after the start), or without any."""
        if self._offset is None or frame.pts is None:
            return None
        return self._offset + float(frame.pts) * self._tick
