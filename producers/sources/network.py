"""Cameras and servers: RTSP, HTTP (files, HLS, MJPEG), RTMP, SRT, UDP."""

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from producers.sources.container import explain, open_container, shown, with_video
from producers.sources.streamed import StreamedSource
from streamer.records.stream import StreamDefinition
from streamer.settings import ProduceSettings

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

Options = dict[str, str]

_RTSP = frozenset({"rtsp", "rtsps"})
_DEFAULTS: dict[bool, Options] = {
    # Over UDP, on any busy network, a lost packet smears the pictures until the next key picture.
    True: {"rtsp_transport": "tcp"},
    # The newest segment of a live HLS playlist; FFmpeg's default is three segments ago.
    False: {"live_start_index": "-1"},
}
# How much FFmpeg reads before it says what there is. RTSP tells by itself, so nothing need be read, and the first
# picture comes 3 s sooner. Others need a look at the data, but not at the frame rate.
_QUICK: dict[bool, Options] = {
    True: {"probesize": "32", "analyzeduration": "0"},
    False: {"fpsprobesize": "0", "analyzeduration": "500000"},
}
_FILES = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi")
# A server that sends only keep-alives holds a reading thread for so long at most; silence is noticed before.
_LONGEST_READ_S = 40.0


def open_network(definition: StreamDefinition, address: str, settings: ProduceSettings) -> StreamedSource:
    """The source at `address`."""
    link = _Link(definition, address, settings)
    live = not urlsplit(address).path.lower().endswith(_FILES)
    return StreamedSource(
        definition, settings, shown(address), link.connect, lambda e: explain(e, address, network=True), live=live
    )


class _Link:
    """How one address is opened."""

    def __init__(self, definition: StreamDefinition, address: str, settings: ProduceSettings) -> None:
        self._definition, self._address, self._settings = definition, address, settings
        self._rtsp = address.partition(":")[0].lower() in _RTSP

    def connect(self) -> "tuple[InputContainer, VideoStream]":
        """The open container and its wanted stream. Raises FFmpegError, SourceUnusableError."""
        plain = _DEFAULTS[self._rtsp] | self._definition.options
        container = self._open(_QUICK[self._rtsp] | plain)
        if not self._recognised(container):
            # Too little was read to know what it is. Costs seconds, but only where it must. Closed first: some
            # cameras serve one at a time.
            container.close()
            container = self._open(plain)
        return with_video(container, self._definition.video, shown(self._address))

    def _recognised(self, container: "InputContainer") -> bool:
        videos = [stream for stream in container.streams.video if stream.codec_context is not None]
        # RTSP names the codec, and the size comes with the first key picture at the latest.
        return bool(videos) and (self._rtsp or all(stream.codec_context.width for stream in videos))

    def _open(self, options: Options) -> "InputContainer":
        settings = self._settings
        limits = (settings.connect_timeout_s, max(settings.stall_timeout_s, _LONGEST_READ_S))
        return open_container(self._address, options, hwaccel=settings.hwaccel, timeout_s=limits)
