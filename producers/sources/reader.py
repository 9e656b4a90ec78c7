"""Reads a connection in a thread of its own: nothing can end a read that FFmpeg blocks in, but nobody waits for it."""

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Generic, TypeVar

from producers.sources.container import describe, format_name

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.codeccontext import VideoCodecContext
    from av.video.stream import VideoStream

    from producers.sources.container import VideoPacket

_WAITING_PACKETS = 64
_LOOK_UP_S = 0.5

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Failed:
    error: Exception


class _Mailbox(Generic[T]):
    """What one thread hands to another that may leave at any time."""

    def __init__(self) -> None:
        self._items: queue.Queue[T | None] = queue.Queue(_WAITING_PACKETS)
        self._left = threading.Event()

    def put(self, item: T) -> bool:
        """Waits for room; False: nobody is there any more."""
        while not self._left.is_set():
            try:
                self._items.put(item, timeout=_LOOK_UP_S)
            except queue.Full:
                continue
            return not self._left.is_set()
        return False

    def get(self, timeout_s: float) -> T | None:
        """The next item; None: left. Raises queue.Empty when none came in time."""
        item = None if self._left.is_set() else self._items.get(timeout=timeout_s)
        return None if self._left.is_set() else item

    def leave(self) -> None:
        """Wakes both sides, for good."""
        self._left.set()
        # Full: get() finds something to take, and then looks whether we have left.
        with suppress(queue.Full):
            self._items.put_nowait(None)


class StalledError(Exception):
    """Nothing came for the time allowed, though the connection is open."""


@dataclass(frozen=True, slots=True)
class Connection:
    """What the decoding thread needs to know of an open stream. Holds nothing that the reading thread can free.

    time_base: seconds per unit of the time stamps. rate: pictures/s on average, None if not known.
    finite: the server says how long it is. format: FFmpeg's name of the container.
    """

    codec: "VideoCodecContext"
    time_base: Fraction | None
    rate: Fraction | None
    finite: bool
    format: str
    description: str

    @classmethod
    def of(cls, container: "InputContainer", stream: "VideoStream") -> "Connection":
        """The connection of an open container."""
        return cls(
            codec=stream.codec_context,
            time_base=stream.time_base,
            rate=stream.average_rate,
            finite=container.duration is not None,
            format=format_name(container),
            description=describe(container, stream),
        )


class Reader:
    """Opens a container and reads one stream's packets in the background. One use.

    The reading thread owns the container and closes it when it ends: soon after close(), or, while FFmpeg blocks,
    when FFmpeg's own time limit is over. Packets and the codec outlive the container, the stream does not.

    connect: opens the container and chooses the stream; runs in the thread. Its read limit must be finite.
    """

    def __init__(self, connect: "Callable[[], tuple[InputContainer, VideoStream]]", name: str) -> None:
        self._connect, self._name = connect, name
        self._opened: _Mailbox[Connection | _Failed] = _Mailbox()
        self._packets: _Mailbox[VideoPacket | _Failed] = _Mailbox()
        self._wanted = threading.Event()

    def open(self, timeout_s: float) -> Connection | None:
        """Connects; None: closed meanwhile.

        Raises:
            StalledError: it took too long. Whatever `connect` raises.
        """
        threading.Thread(target=self._run, name=f"read {self._name}", daemon=True).start()
        try:
            opened = self._opened.get(timeout_s)
        except queue.Empty:
            self.close()
            raise StalledError from None
        if isinstance(opened, _Failed):
            raise opened.error
        return opened

    def packets(self, silence_s: float) -> "Iterator[VideoPacket]":
        """The packets as they arrive, the empty one at the end included; ends early when closed.

        silence_s: longest wait for a packet.

        Raises:
            StalledError: none came for so long. FFmpegError: reading failed.
        """
        self._wanted.set()
        while True:
            try:
                packet = self._packets.get(silence_s)
            except queue.Empty:
                raise StalledError from None
            if packet is None:
                return
            if isinstance(packet, _Failed):
                raise packet.error
            yield packet
            if not packet.size:
                return

    def close(self) -> None:
        """Ends it all, from any thread, without waiting for the reading one."""
        self._opened.leave()
        self._packets.leave()
        self._wanted.set()

    def _run(self) -> None:
        # The edge of a thread: whatever happens here is told to the one who waits.
        try:
            container, stream = self._connect()
        except Exception as error:
            self._opened.put(_Failed(error))
            return
        try:
            if self._opened.put(Connection.of(container, stream)):
                # Read on only when somebody decodes, or the first pictures would be old before they are wanted.
                self._wanted.wait()
                self._read(container, stream)
        except Exception as error:
            self._packets.put(_Failed(error))
        finally:
            container.close()

    def _read(self, container: "InputContainer", stream: "VideoStream") -> None:
        for packet in container.demux(stream):
            if not self._packets.put(packet):
                return
