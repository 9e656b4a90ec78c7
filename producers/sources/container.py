"""Opens what FFmpeg calls a container, be it a file, a camera or a page, and says in one line why it can't."""

import errno
from collections.abc import Mapping
from typing import TYPE_CHECKING

import av
from av.codec.hwaccel import HWAccel, hwdevices_available

from streamer.addresses import mask
from streamer.errors import SourceError, SourceUnusableError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

    VideoPacket = Packet[VideoStream]

# FFmpeg draws any text file as a terminal would.
_NO_VIDEO = frozenset({"tty"})
INDEXED = frozenset({"mov", "matroska"})
"""Containers (FFmpeg's first name of the format) that list each picture with its own presentation time."""


class LoginRefusedError(SourceUnusableError):
    """The server refuses our user name, password or rights."""


def open_container(
    address: str,
    options: Mapping[str, str],
    *,
    format: str | None = None,
    hwaccel: str = "",
    timeout_s: tuple[float, float] | None = None,
) -> "InputContainer":
    """The open container of `address`.

    timeout_s: for the opening, and for each read; None: no limit.

    Raises:
        FFmpegError: see `explain`.
        SourceUnusableError: no such hardware decoder.
    """
    try:
        container: InputContainer = av.open(
            address,
            format=format,
            options=dict(options),
            timeout=timeout_s,
            hwaccel=hardware(hwaccel) if hwaccel else None,
            metadata_errors="replace",
        )
        return container
    except RuntimeError as error:
        # PyAV's own words for: no driver, no such device, or a codec that the device can't decode.
        if hwaccel and not isinstance(error, av.error.FFmpegError):
            raise SourceUnusableError(
                f"{shown(address)}: {hwaccel} can't decode this here ({_line(str(error))}); "
                "set produce.hwaccel to another or leave it empty"
            ) from None
        raise


def hardware(name: str) -> HWAccel:
    """The hardware decoder `name`.

    Raises:
        SourceUnusableError: FFmpeg knows none of that name.
    """
    known = hwdevices_available()
    if name not in known:
        raise SourceUnusableError(f"produce.hwaccel = {name!r}: this FFmpeg knows {', '.join(known) or 'none'}")
    return HWAccel(device_type=name, allow_software_fallback=False)


def choose_video(container: "InputContainer", number: int, name: str) -> "VideoStream":
    """The container's video stream `number`, counted from 0; cover pictures don't count.

    Raises:
        SourceUnusableError: there is none, or no decoder for it.
    """
    if format_name(container) in _NO_VIDEO:
        raise SourceUnusableError(f"{name}: not a media file")
    streams = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    if not streams:
        raise SourceUnusableError(f"{name}: there is no video in it")
    if number >= len(streams):
        count = "1 video stream" if len(streams) == 1 else f"{len(streams)} video streams"
        raise SourceUnusableError(f"{name}: video = {number}, but it has {count}, counted from 0")
    stream = streams[number]
    if stream.codec_context is None:
        raise SourceUnusableError(f"{name}: this FFmpeg has no decoder for its video")
    return stream


def with_video(container: "InputContainer", number: int, name: str) -> "tuple[InputContainer, VideoStream]":
    """An open container and its video stream `number`; see `choose_video`. Closed if it has none.

    Raises:
        SourceUnusableError: there is none, or no decoder for it.
    """
    try:
        return container, choose_video(container, number, name)
    except SourceUnusableError:
        # Else it stays open, and a camera's connection taken, until Python finds the ring of it and its streams.
        container.close()
        raise


def explain(error: Exception, address: str, *, network: bool) -> SourceError:
    """`error` of FFmpeg as one of ours: one line, without credentials, and whether trying again can help."""
    name = shown(address)
    # Never again: many cameras lock an account after some wrong passwords, so repeating makes it worse.
    if isinstance(error, av.error.HTTPUnauthorizedError | av.error.HTTPForbiddenError):
        return LoginRefusedError(f"{name}: the server refuses the user name or password")
    if isinstance(error, av.error.ProtocolNotFoundError):
        return SourceUnusableError(f"{name}: this FFmpeg can't read such addresses")
    return _explain_network(error, name, address) if network else _explain_local(error, name)


def _explain_network(error: Exception, name: str, address: str) -> SourceError:
    if isinstance(error, av.error.HTTPNotFoundError):
        # A camera that is still starting answers 404 until its encoder runs; a web server's 404 is a wrong address.
        kind = SourceUnusableError if address.lower().startswith("http") else SourceError
        return kind(f"{name}: the server has nothing at this path (404)")
    if isinstance(error, av.error.HTTPClientError):
        return SourceUnusableError(f"{name}: the server refuses the request ({error.strerror})")
    if isinstance(error, ConnectionRefusedError):
        return SourceError(f"{name}: connection refused, nothing listens there")
    if isinstance(error, av.error.ExitError | TimeoutError):
        return SourceError(f"{name}: no answer in time")
    if isinstance(error, av.error.InvalidDataError):
        if address.lower().startswith("http"):
            return SourceUnusableError(f"{name}: the answer is no video")
        return SourceError(f"{name}: no proper answer: the server hangs, or sends no video")
    if isinstance(error, OSError) and error.errno == errno.EIO:
        return SourceError(f"{name}: no connection: unknown host, or it was cut")
    return SourceError(f"{name}: {_reason(error)}")


def _explain_local(error: Exception, name: str) -> SourceError:
    if isinstance(error, FileNotFoundError):
        return SourceUnusableError(f"{name}: no such file")
    if isinstance(error, PermissionError):
        return SourceUnusableError(f"{name}: no right to read it")
    if isinstance(error, av.error.InvalidDataError | EOFError):
        return SourceUnusableError(f"{name}: not a media file, or too damaged to be read")
    return SourceUnusableError(f"{name}: {_reason(error)}")


def shown(address: str) -> str:
    """`address` as it may be shown: without credentials."""
    return mask(address)


def describe(container: "InputContainer", stream: "VideoStream") -> str:
    """Codec, size, rate and container in some words."""
    codec = stream.codec_context
    size = f"{codec.width}x{codec.height}" if codec.width else "size not yet known"
    rate = f"{float(stream.average_rate):.3g} frames/s" if stream.average_rate else "rate not known"
    return f"{codec.name} {size}, {rate}, {format_name(container)}"


def format_name(container: "InputContainer") -> str:
    """The first of FFmpeg's names for the container's format."""
    return str(container.format.name).partition(",")[0]


def _reason(error: Exception) -> str:
    return _line(getattr(error, "strerror", None) or str(error) or type(error).__name__)


def _line(text: str) -> str:
    return mask(" ".join(text.split()))[:200]
