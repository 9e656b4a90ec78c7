"""The sources named on a command line: lists taken apart, folders of videos opened, each stream given a name."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from streamer.addresses import has_credentials, mask
from streamer.errors import UsageError

_VIDEO = re.compile(
    r".*\.(3gp|avi|flv|h264|hevc|m2ts|m4v|mjpeg|mkv|mov|mp4|mpeg|mpg|ogv|ts|webm|wmv|y4m)", re.IGNORECASE
)
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
# Of a list: up to the next comma behind the user and password, which may hold some.
_PART = re.compile(r"(?:\s*[A-Za-z][A-Za-z0-9+.-]+://[^/?#@\s]*@)?[^,]+")


def expand_sources(words: Sequence[str]) -> list[str]:
    """One entry per source: comma lists are taken apart, a folder with videos in it is each of them.

    Raises:
        UsageError: none is left, or a file does not exist.
    """
    sources = [source for word in words for part in _parts(word) for source in _files(part, word)]
    if not sources:
        raise UsageError("which source? a file, folder, rtsp:// or http:// address, /dev/video0 or synthetic:")
    return sources


def name_streams(sources: Sequence[str]) -> dict[str, str]:
    """Stream name -> source, in order; names are those of the files or hosts, made different where they are not.

    Raises:
        UsageError: one is no address.
    """
    named: dict[str, str] = {}
    for source in sources:
        base = name = _name(source)
        number = 1
        while name in named:
            number += 1
            name = f"{base[:60]}-{number}"
        named[name] = source
    return named


def without_secrets(source: str, stream: str) -> str:
    """`source`; if it holds credentials itself, a reference to a variable that holds all of it.

    A definition can be read by many. The variable is set in this process: the source is opened in it or in a child.
    """
    if not has_credentials(source):
        return source
    name = "STREAM_ADDRESS_" + re.sub(r"[^A-Z0-9]", "_", stream.upper())
    while name in os.environ:
        name += "_"
    os.environ[name] = source
    return f"${{{name}}}"


def _parts(word: str) -> list[str]:
    if _exists(word):
        return [word]  # a comma may be part of a file's name
    return [part for part in map(str.strip, _PART.findall(word)) if part]


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except OSError:
        return False  # a list of sources can be longer than a file's name


def _files(source: str, word: str) -> list[str]:
    if _ADDRESS.match(source):
        return [source]
    path = Path(source)
    if not _exists(source):
        # It may be a piece of a password that a comma or slash tore apart: shown only where masking leaves it.
        shown = mask(word)
        raise UsageError(f"{source if source in shown else shown}: no such file or folder")
    if not path.is_dir():
        return [source]
    videos = sorted(file for file in path.iterdir() if _VIDEO.fullmatch(file.name) and file.is_file())
    return [str(video) for video in videos] or [source]


def _name(source: str) -> str:
    if _ADDRESS.match(source):
        try:
            address = urlsplit(source)
        except ValueError:
            raise UsageError(f"{source}: the host in brackets is no IPv6 address") from None
        text = f"{address.hostname or address.scheme}-{Path(address.path).stem if address.netloc else ''}"
    else:
        text = Path(source).absolute().stem
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")
    return name[:64] or "stream"
