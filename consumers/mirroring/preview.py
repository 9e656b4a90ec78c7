"""The preview: a small picture per stream in Redis, with the boxes of its result, made only while somebody watches.

Who watches says so with a key that expires. Lanes hand a JPEG over and go on; it is decoded, drawn into and written by
a thread of its own, so a Redis that is slow or away costs previews and nothing else.
"""

import colorsys
import logging
import threading
import time
import zlib
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import simplejpeg
from redis.exceptions import RedisError

from consumers.entry import Entry, Partition
from consumers.lanes.locate import source_boxes
from engines.jpeg import decode_scaled
from engines.marks import Colour, mark
from streamer.mirror import Keys, connect_redis, is_away, redis_error
from streamer.records import BBox, FrameHeader, Result
from streamer.settings import Settings

if TYPE_CHECKING:
    import redis

log = logging.getLogger(__name__)

_LONGEST = 320  # pixels
_QUALITY = 70
_KEPT_S = 10
_EVERY_S = 0.5  # between two pictures of a stream
_LOOK_S = 1.0  # between two looks at who watches
_AGAIN_S = 5.0  # until the next look, where Redis fails
_ANSWER_S = 1.0  # Redis has to, or is away
_KNOWN_S = 600.0  # a stream without a frame for so long is not asked after: names of files come and go for ever


@dataclass(frozen=True, slots=True)
class _Picture:
    partition: Partition
    jpeg: bytes
    header: FrameHeader
    result: Result


class Preview(threading.Thread):
    """Lanes offer frames and never wait; the newest one of each stream that is watched waits for the thread.

    owns: whether the worker has a partition: of one that it has lost, its next owner shows newer pictures.
    """

    def __init__(self, settings: Settings, owns: Callable[[Partition], bool]) -> None:
        super().__init__(name="preview", daemon=True)
        self._settings, self._owns = settings, owns
        self._keys, self._pipeline = Keys(settings.redis.prefix), settings.detect.pipeline
        self._seen: dict[str, tuple[Partition, float]] = {}
        self._wanted: frozenset[str] = frozenset()
        self._pending: dict[str, _Picture] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._look_at = 0.0
        self._told = False

    def offer(self, entry: Entry, result: Result) -> None:
        """Takes a frame that has its result, if somebody watches. Before the ledger does: that lets the JPEG go."""
        self._seen[result.stream] = entry.partition, time.monotonic()
        if result.stream not in self._wanted:
            return
        assert isinstance(entry.header, FrameHeader)
        picture = _Picture(entry.partition, entry.jpeg, entry.header, result)
        with self._lock:
            waiting = self._pending.get(result.stream)
            if waiting is None or waiting.result.id < result.id:  # lanes end in any order
                self._pending[result.stream] = picture

    def stop(self) -> None:
        """After the picture in hand."""
        self._stopping.set()

    def run(self) -> None:
        """Until stopped."""
        patience: dict[str, Any] = {"socket_timeout": _ANSWER_S, "socket_connect_timeout": _ANSWER_S}
        with closing(connect_redis(self._settings.redis, **patience)) as client:
            while not self._stopping.wait(_EVERY_S):
                try:
                    self.step(client)
                except RedisError as error:
                    self._give_up(error)
                except Exception as error:  # the thread's edge: the worker does without, and tries again
                    self._pause()
                    self._tell(type(error).__name__, exc_info=True)

    def step(self, client: "redis.Redis") -> None:
        """Looks who watches, if it is time, and shows what waits."""
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + _LOOK_S
            self._wanted = self._look(client)
        with self._lock:
            pending, self._pending = self._pending, {}
        for stream, picture in pending.items():
            if stream not in self._wanted or not self._owns(picture.partition) or self._stopping.is_set():
                continue
            try:
                drawn = draw(picture.jpeg, picture.header, picture.result)
            except ValueError as error:  # a GPU's decoder takes some that this one doesn't
                log.debug("stream %s: no preview of frame %s: %s", stream, picture.result.id, error)
                continue
            client.set(self._keys.preview(self._pipeline, stream), drawn, ex=_KEPT_S)
            self._told = False

    def _look(self, client: "redis.Redis") -> frozenset[str]:
        """Those of the worker's streams that somebody watches."""
        streams = self._ours()
        if not streams:
            return frozenset()
        wishes: Any = client.mget([self._keys.preview_wanted(self._pipeline, stream) for stream in streams])
        return frozenset(stream for stream, wish in zip(streams, wishes, strict=True) if wish is not None)

    def _ours(self) -> list[str]:
        seen = self._seen.copy()  # at once, as lanes go on adding to it
        owned = {partition for partition in {partition for partition, _ in seen.values()} if self._owns(partition)}
        since = time.monotonic() - _KNOWN_S
        ours = [stream for stream, (partition, at) in seen.items() if partition in owned and at > since]
        for stream in seen.keys() - set(ours):
            self._seen.pop(stream, None)  # if it has a frame just now, its next one brings it back
        return ours

    def _give_up(self, error: RedisError) -> None:
        """Of a Redis that is away the mirror tells."""
        self._pause()
        if not is_away(error):
            self._tell(redis_error(self._settings.redis, error))

    def _pause(self) -> None:
        """Nothing is shown for a while."""
        self._wanted, self._look_at = frozenset(), time.monotonic() + _AGAIN_S
        with self._lock:
            self._pending.clear()

    def _tell(self, why: object, exc_info: bool = False) -> None:
        if not self._told:
            self._told = True
            log.warning("no previews: %s", why, exc_info=exc_info)


def draw(jpeg: bytes, header: FrameHeader, result: Result) -> bytes:
    """A frame as a small JPEG, with the boxes of its result.

    Raises:
        ValueError: it is damaged.
    """
    scale = min(1.0, _LONGEST / max(header.width, header.height))
    size = max(1, round(header.width * scale)), max(1, round(header.height * scale))
    picture = decode_scaled(jpeg, (header.width, header.height), size, "RGB")
    if picture.shape[1::-1] != size:
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
    boxes = np.array([_corners(each.bbox) for each in result.objects], np.float32)
    for each, box in zip(result.objects, source_boxes(boxes, _back(header, size)), strict=True):
        mark(picture, box.tolist(), f"{each.type} {each.confidence:.0%}", colour_of(each.type))
    data: bytes = simplejpeg.encode_jpeg(picture, quality=_QUALITY, colorspace="RGB")
    return data


def _corners(box: BBox) -> tuple[float, float, float, float]:
    return box.left, box.top, box.right, box.bottom


def _back(header: FrameHeader, size: tuple[int, int]) -> FrameHeader:
    """The way back: from upright source pixels to those of a picture of `size`, and no further than its edges."""
    there = np.array(header.matrix, np.float64).reshape(2, 3)
    back = cv2.invertAffineTransform(there) * np.array([[size[0] / header.width], [size[1] / header.height]])
    m0, m1, m2, m3, m4, m5 = back.ravel().tolist()
    return replace(header, matrix=(m0, m1, m2, m3, m4, m5), source_width=size[0] - 1, source_height=size[1] - 1)


@lru_cache(maxsize=1024)
def colour_of(kind: str) -> Colour:
    """Red, green, blue of a class: the same in all pictures, whichever worker draws them."""
    red, green, blue = colorsys.hsv_to_rgb(zlib.crc32(kind.encode()) % 360 / 360, 0.9, 1)
    return round(255 * red), round(255 * green), round(255 * blue)
