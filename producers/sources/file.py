"""Video files of any codec and container that FFmpeg knows."""

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import av

from producers.picture import Picture
from producers.sources.container import INDEXED, choose_video, describe, explain, format_name, open_container, shown
from producers.sources.decoder import Decoder
from producers.sources.numbering import Counted, Ranked
from producers.sources.seeking import Entry, seek_before
from producers.sources.skipping import Planned, Skipper
from producers.sources.timeline import Timeline
from producers.sources.track import Track, all_needed
from streamer.errors import SourceError, SourceUnusableError
from streamer.records.stream import StreamDefinition
from streamer.settings import ProduceSettings

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

    from producers.sources.container import VideoPacket

log = logging.getLogger(__name__)


class FileSource:
    """A `Source` that reads one video file, from its start or from a picture's number."""

    live = False

    def __init__(self, definition: StreamDefinition, address: str, settings: ProduceSettings) -> None:
        self._definition, self._settings = definition, settings
        self._path = unquote(urlsplit(address).path) if address.lower().startswith("file://") else address
        self._name = shown(self._path)
        self._container: InputContainer | None = None
        self._description = ""
        self._closed = False
        self._decoder: Decoder | None = None
        self._packets_read = self._unreadable = self._missing = 0

    @property
    def faults(self) -> int:
        """Packets that could not be read or decoded, and those that the file lists but does not hold."""
        return (self._decoder.faults if self._decoder else 0) + self._unreadable + self._missing

    def open(self) -> None:
        """See `Source`."""
        self._container = self._open()
        self._description = describe(self._container, self._stream(self._container))

    def describe(self) -> str:
        """See `Source`."""
        return self._description

    def close(self) -> None:
        """See `Source`. The reading thread lets the container go; a local read never blocks for long."""
        self._closed = True
        self._container = None

    def pictures(self, start_index: int = 0) -> Iterator[Picture]:
        """See `Source`."""
        container = self._container
        if container is None:
            raise SourceError(f"{self._name}: not open")
        entry = None
        if start_index > 0 and self._numbered_by_rank(container):
            entry = seek_before(container, self._stream(container), start_index)
            if entry is None:
                container.close()
                container = self._container = self._open()
        try:
            yield from self._wanted(container, entry, start_index)
        finally:
            # A container and its streams hold each other: unless it is closed, the decoder and its pictures stay in
            # memory until Python looks for such rings, which in a clip that loops is hundreds of megabytes later.
            container.close()

    def _wanted(self, container: "InputContainer", entry: Entry | None, start_index: int) -> Iterator[Picture]:
        seen = 0
        for picture in self._from(container, entry):
            if self._closed:
                return
            seen += 1
            if picture.index >= start_index:
                yield picture
        if not self._closed:
            self._finish(self._stream(container), seen, whole=entry is None)

    def _open(self) -> "InputContainer":
        try:
            return open_container(self._path, self._definition.options, hwaccel=self._settings.hwaccel)
        except (av.error.FFmpegError, OSError) as error:
            raise explain(error, self._path, network=False) from None

    def _stream(self, container: "InputContainer") -> "VideoStream":
        return choose_video(container, self._definition.video, self._name)

    def _numbered_by_rank(self, container: "InputContainer") -> bool:
        return format_name(container) in INDEXED or self._stream(container).codec_context.codec.intra_only

    def _from(self, container: "InputContainer", entry: Entry | None) -> Iterator[Picture]:
        stream = self._stream(container)
        codec = stream.codec_context
        self._decoder = Decoder(codec, self._name, threads=self._settings.decoder_threads, live=False)
        timeline = Timeline(stream.time_base, stream.average_rate, stream.start_time)
        ranked = self._numbered_by_rank(container)
        track = Track(self._decoder, Ranked(entry.number if entry else 0) if ranked else Counted(), timeline)
        packets = self._packets(container, stream, entry)
        planned: Iterator[Planned]
        fps, start = self._definition.fps, stream.start_time
        if ranked and fps is not None and start is not None and stream.time_base:
            skipper = Skipper(fps, float(stream.time_base), start, intra_only=codec.codec.intra_only)
            planned = skipper.by_group(packets)
        else:
            planned = all_needed(packets)
        return track.pictures(self._from_entry(planned, entry))

    @staticmethod
    def _from_entry(planned: Iterator[Planned], entry: Entry | None) -> Iterator[Planned]:
        """Leaves out what is shown before the entry: it is predicted from pictures that we don't have."""
        for packet, need in planned:
            if entry is None or not packet.size or packet.pts is None or packet.pts >= entry.pts:
                yield packet, need

    def _packets(
        self, container: "InputContainer", stream: "VideoStream", entry: Entry | None
    ) -> "Iterator[VideoPacket]":
        while True:
            before = self._packets_read
            try:
                for packet in container.demux(stream):
                    if self._closed:
                        return
                    self._packets_read += packet.size > 0
                    yield packet
                return
            except av.error.InvalidDataError:
                # Damage between packets: FFmpeg looks for the next one behind it, if there is any.
                self._unreadable += 1
                if self._packets_read == before:
                    return
            except (av.error.FFmpegError, OSError) as error:
                raise SourceError(f"{self._name}: reading broke off: {error.strerror}") from None

    def _finish(self, stream: "VideoStream", seen: int, *, whole: bool) -> None:
        if whole:
            self._missing = max(stream.frames - self._packets_read, 0)
        if seen == 0 and whole:
            reason = self._decoder.last_fault if self._decoder else ""
            raise SourceUnusableError(f"{self._name}: not one picture of it can be decoded ({reason or 'it is empty'})")
        if self.faults:
            log.warning("%s: %d pictures decoded, %d could not be", self._name, seen, self.faults)
