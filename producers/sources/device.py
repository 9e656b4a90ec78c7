"""Cameras of this machine: /dev/video0 and the like, through Video4Linux."""

import errno
from pathlib import Path
from typing import TYPE_CHECKING

import av

from producers.sources.container import explain, open_container, with_video
from producers.sources.streamed import StreamedSource
from streamer.errors import SourceError, SourceUnusableError
from streamer.records.stream import StreamDefinition
from streamer.settings import ProduceSettings

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream


def open_device(definition: StreamDefinition, address: str, settings: ProduceSettings) -> StreamedSource:
    """The camera at `address`; `options` may hold video_size, framerate, input_format (mjpeg, yuyv422)."""

    def connect() -> "tuple[InputContainer, VideoStream]":
        limits = (settings.connect_timeout_s, settings.stall_timeout_s)
        container = open_container(address, definition.options, format="v4l2", timeout_s=limits)
        return with_video(container, definition.video, address)

    return StreamedSource(definition, settings, address, connect, lambda error: _explain(error, address))


def _explain(error: Exception, address: str) -> SourceError:
    if isinstance(error, FileNotFoundError):
        # It may be plugged in again: tried again like any camera, but said at once.
        return SourceError(f"{address}: no such camera; {_cameras()}")
    if isinstance(error, PermissionError):
        return SourceUnusableError(f"{address}: no right to use it; add this user to the group video")
    if isinstance(error, OSError) and error.errno == errno.ENOTTY:
        return SourceUnusableError(f"{address}: this is no camera; {_cameras()}")
    if isinstance(error, OSError) and error.errno == errno.EBUSY:
        return SourceError(f"{address}: another program is using it")
    if isinstance(error, av.error.ArgumentError | av.error.InvalidDataError | ValueError):
        return SourceUnusableError(f"{address}: the camera has no such video_size, framerate or input_format")
    return explain(error, address, network=True)


def _cameras() -> str:
    found = sorted(str(path) for path in Path("/dev").glob("video*"))
    return f"there are {', '.join(found)}" if found else "there is none at this machine"
