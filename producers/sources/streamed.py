"""A source behind a connection, whatever its kind: read in the background, watched for silence."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import av

from producers.pacing import Pacer
from producers.picture import Picture
from producers.sources.clock import ReportedClock
from producers.sources.decoder import Decoder
from producers.sources.numbering import Counted, Ranked
from producers.sources.reader import Connection, Reader, StalledError
from producers.sources.skipping import Need, Planned, only_arriving
from producers.sources.timeline import ArrivalTimeline, Timeline
from producers.sources.track import Track, all_needed
from streamer.errors import SourceError
from streamer.records.stream import StreamDefinition
from streamer.settings import ProduceSettings

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

    from producers.sources.container import VideoPacket

# Segments come whole, some seconds each, with silence between them.
_SEGMENTED = "hls"
# Times stall_timeout_s: the silence between segments, and how long packets may come without a picture. Whoever joins
# in the middle waits for the next key picture, and cameras that save bandwidth send one in 10 s or more.
_PATIENCE = 6
# No time stamps of their own: FFmpeg makes them up from an assumed rate.
_WITHOUT_CLOCK = frozenset({"mpjpeg", "mjpeg", "jpeg_pipe", "h264", "hevc", "m4v"})


class StreamedSource:
    """A `Source` that is read over a connection. Live, unless it says how long it is: then it is a file.

    Most servers that crash or restart close their connections in good order, so the end of a live source means
    nothing but that the connection is gone.

    name: what it is called in messages, without credentials.
    connect: opens the container and chooses the stream; called in a thread that may outlive this source.
    explain: turns what FFmpeg raises into an error of ours.
    live: what to take it for until open() has found out.
    """

    def __init__(
        self,
        definition: StreamDefinition,
        settings: ProduceSettings,
        name: str,
        connect: "Callable[[], tuple[InputContainer, VideoStream]]",
        explain: Callable[[Exception], SourceError],
        *,
        live: bool = True,
    ) -> None:
        self._definition, self._settings, self._name, self._explain = definition, settings, name, explain
        self.live = live
        self._reader = Reader(connect, name)
        self._connection: Connection | None = None
        self._decoder: Decoder | None = None
        self._closed = threading.Event()
        self._last_picture = 0.0
        self._awaited = False  # a picture, of a packet that was decoded for it

    @property
    def faults(self) -> int:
        """Packets that could not be decoded, not counting those before a live source's first whole picture."""
        return self._decoder.faults if self._decoder else 0

    def open(self) -> None:
        """See `Source`."""
        # Twice: for the address, and for what is found there.
        limit_s = 2 * self._settings.connect_timeout_s
        try:
            opened = self._reader.open(limit_s)
        except (av.error.FFmpegError, OSError) as error:
            raise self._explain(error) from None
        except StalledError:
            raise SourceError(f"{self._name}: no answer within {limit_s:g} s") from None
        if opened:
            self._connection = opened
            self.live = not opened.finite

    def describe(self) -> str:
        """See `Source`."""
        return self._connection.description if self._connection else ""

    def close(self) -> None:
        """See `Source`."""
        self._closed.set()
        self._reader.close()

    def pictures(self, start_index: int = 0) -> Iterator[Picture]:
        """See `Source`. A file is decoded from its start, and the pictures before `start_index` are dropped."""
        if self._closed.is_set():
            return
        if self._connection is None:
            raise SourceError(f"{self._name}: not open")
        # Segments arrive in bursts; their own clock spreads the pictures evenly again.
        pacer = Pacer(self._closed) if self.live and self._segmented else None
        try:
            for picture in self._track(self._connection):
                self._awaited = False
                if self._closed.is_set() or (pacer and not pacer.wait(picture)):
                    return
                if self.live or picture.index >= start_index:
                    yield picture
                # Only our own waiting counts, not the time that the picture's taker needed.
                self._last_picture = time.monotonic()
        except StalledError:
            raise SourceError(self._silence()) from None
        except (av.error.FFmpegError, OSError) as error:
            raise self._explain(error) from None

    @property
    def _segmented(self) -> bool:
        return self._connection is not None and self._connection.format == _SEGMENTED

    @property
    def _silence_s(self) -> float:
        return self._settings.stall_timeout_s * (_PATIENCE if self._segmented else 1)

    def _silence(self) -> str:
        why = self._decoder.last_fault if self._decoder else ""
        seconds = time.monotonic() - self._last_picture
        return f"{self._name}: connected, but no picture for {seconds:.0f} s" + (f" ({why})" if why else "")

    def _track(self, connection: Connection) -> Iterator[Picture]:
        threads = self._settings.decoder_threads
        codec = connection.codec
        self._decoder = Decoder(codec, self._name, threads=threads, live=self.live)
        reported = ReportedClock()
        packets = self._watched(reported)
        source_time = reported.time if self.live else None
        if not (self.live and connection.format in _WITHOUT_CLOCK):
            timeline = Timeline(connection.time_base, connection.rate)
            return Track(self._decoder, Counted(), timeline, source_time).pictures(all_needed(packets))
        arrival = ArrivalTimeline()
        fps = self._definition.fps if codec.codec.intra_only else None
        planned = only_arriving(packets, arrival, fps, lambda: self._awaited)
        return Track(self._decoder, Ranked(), arrival, source_time).pictures(self._awaiting(planned))

    def _awaiting(self, planned: Iterable[Planned]) -> Iterator[Planned]:
        """Notes whether a picture is to come: as long as none is wanted, none is missing."""
        for packet, need in planned:
            self._awaited = need is Need.PICTURE
            if not self._awaited:
                self._last_picture = time.monotonic()
            yield packet, need

    def _watched(self, clock: ReportedClock) -> "Iterator[VideoPacket]":
        self._last_picture = time.monotonic()
        for packet in self._reader.packets(self._silence_s):
            if time.monotonic() > self._last_picture + self._settings.stall_timeout_s * _PATIENCE:
                raise StalledError
            clock.read(packet)
            yield packet
