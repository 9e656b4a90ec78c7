"""Folders of pictures, in the order that a person would put them in."""

import logging
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import av

from producers import metrics
from producers.picture import Picture
from producers.sources.container import shown
from producers.sources.track import upright_rotation
from streamer.errors import SourceUnusableError
from streamer.moments import unix_ms
from streamer.records.stream import StreamDefinition
from streamer.settings import ProduceSettings

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

log = logging.getLogger(__name__)

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".avif"})
RATE = "framerate"
_DEFAULT_RATE = 25.0


class FolderSource:
    """A `Source` of all pictures directly in a folder: frame2.jpg before frame10.jpg, other files left out.

    The option `framerate` (25) says how many are shown per second at `pace` realtime, and gives them their times.
    A picture's index is its place in the folder, that of an unreadable one too.
    """

    live = False

    def __init__(self, definition: StreamDefinition, address: str, settings: ProduceSettings) -> None:
        self._folder, self._name = Path(address), shown(address)
        self._options = definition.options
        self._paths: list[Path] = []
        self._rate = _DEFAULT_RATE
        self._closed = False
        self.faults = 0

    def open(self) -> None:
        """See `Source`. Which pictures there are is looked up now, once."""
        try:
            found = [path for path in self._folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file()]
        except OSError as error:
            raise SourceUnusableError(f"{self._name}: {error.strerror}") from None
        if not found:
            raise SourceUnusableError(f"{self._name}: no pictures in this folder ({', '.join(sorted(SUFFIXES))})")
        self._paths = sorted(found, key=lambda path: natural_key(path.name))
        self._rate = self._given_rate()

    def describe(self) -> str:
        """See `Source`."""
        return f"{len(self._paths)} pictures, shown at {self._rate:g} frames/s"

    def close(self) -> None:
        """See `Source`."""
        self._closed = True

    def pictures(self, start_index: int = 0) -> Iterator[Picture]:
        """See `Source`."""
        good = 0
        for index, path in enumerate(self._paths[start_index:], start_index):
            if self._closed:
                return
            frame = self._read(path)
            if frame is None:
                continue
            good += 1
            seconds = index / self._rate
            rotation = upright_rotation(frame.rotation)
            yield Picture(frame, index, None, seconds, seconds, rotation, unix_ms())
        if not self._closed and start_index == 0 and not good:
            raise SourceUnusableError(f"{self._name}: not one of its {len(self._paths)} pictures can be read")
        if self.faults:
            log.warning("%s: %d pictures read, %d could not be", self._name, good, self.faults)

    def _read(self, path: Path) -> "VideoFrame | None":
        began = time.perf_counter()
        try:
            with av.open(str(path)) as container:
                frame: VideoFrame = next(container.decode(video=0))
                metrics.DECODE.observe(time.perf_counter() - began)
                return frame
        except (av.error.FFmpegError, OSError, StopIteration, IndexError) as error:
            self.faults += 1
            log.warning("%s can't be read as a picture: %s", path, getattr(error, "strerror", None) or "nothing in it")
            return None

    def _given_rate(self) -> float:
        text = self._options.get(RATE, str(_DEFAULT_RATE))
        try:
            rate = float(text)
        except ValueError:
            rate = 0.0
        if not 0 < rate <= 1000:
            raise SourceUnusableError(f"{self._name}: option {RATE} = {text!r}: use a number from 0.001 to 1000")
        return rate


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sorts numbers in names by their value: frame2 before frame10."""
    parts = re.findall(r"\d+|\D+", name)
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part.lower()) for part in parts]
