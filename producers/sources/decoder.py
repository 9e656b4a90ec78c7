"""Packets in, pictures out: one video stream's decoder, which goes on behind what it can't decode."""

import logging
import time
from typing import TYPE_CHECKING

import av

from producers import metrics

if TYPE_CHECKING:
    from av.video.codeccontext import VideoCodecContext

    from producers.sources.container import VideoPacket

log = logging.getLogger(__name__)


class Decoder:
    """Decodes the packets of one stream. Belongs to one thread.

    codec: as PyAV made it, not open yet.
    threads: 0: as many as the codec finds useful.
    live: no delay for the sake of threads; decoding frames side by side would cost one frame of it per thread.

    faults: packets so far that could not be decoded; not those before a live source's first picture, since whoever
        joins in the middle can't decode anything up to the next key picture. last_fault: why, for the last of them.
    """

    def __init__(self, codec: "VideoCodecContext", name: str, *, threads: int, live: bool) -> None:
        self._codec, self._name = codec, name
        codec.thread_count = threads
        codec.thread_type = "SLICE" if live or threads == 1 else "AUTO"
        self._counts = not live
        self.faults = 0
        self.last_fault = ""

    def decode(self, packet: "VideoPacket", *, disposable: bool = False) -> "list[av.VideoFrame]":
        """The pictures that are ready now, in order of presentation; an empty packet brings out the last ones.

        disposable: nobody wants this packet's picture; it is decoded only if others are predicted from it.
        """
        # Takes effect with the next packet that is sent, also with several threads: each gets a copy.
        self._codec.skip_frame = "NONREF" if disposable else "DEFAULT"
        began = time.perf_counter()
        try:
            frames: list[av.VideoFrame] = self._codec.decode(packet if packet.size else None)
        except EOFError:
            return []
        except av.error.FFmpegError as error:
            self._fault(error)
            return []
        metrics.DECODE.observe(time.perf_counter() - began)
        self._counts = self._counts or bool(frames)
        return frames

    def begin_anew(self) -> "list[av.VideoFrame]":
        """The pictures that still wait for their turn; the next packet has to be a key picture.

        Some decoders throw them away when a key picture comes that the packets before don't lead up to.
        """
        try:
            frames: list[av.VideoFrame] = self._codec.decode(None)
        except av.error.FFmpegError as error:
            frames = []
            self._fault(error)
        self._codec.flush_buffers()
        return frames

    def _fault(self, error: av.error.FFmpegError) -> None:
        self.last_fault = str(error.strerror or type(error).__name__)
        if not self._counts:
            return
        self.faults += 1
        if self.faults == 1:
            log.warning("%s: a picture can't be decoded (%s); going on with the next", self._name, self.last_fault)
