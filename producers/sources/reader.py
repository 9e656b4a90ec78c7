"""Reads a connection in a thread of its own: nothing can end a read that FFmpeg blocks in, but nobody waits for it."""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from av.container import InputContainer
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
                return not self._left.is_set()
            except queue.Full:
                continue
        return False

    def get(self, timeout_s: float) -> T | None:
        """The next item; None: left. Raises queue.Empty when none came in time."""
        item = None if self._left.is_set() else self._items.get(timeout=max(timeout_s, 0.0))
        return None if self._left.is_set() else item

    def leave(self) -> None:
        """Wakes both sides, for good."""
        self._left.set()
        # Full: get() finds something to take, and then looks whether we have left.
        with suppress(queue.Full):
            self._items.put_nowait(None)

    @property
    def left(self) -> bool:
        return self._left.is_set()


class StalledError(Exception):
    """Nothing came for the time allowed, though the connection is open."""


class Reader:
    """Opens a container and reads one stream's packets in the background. One use.

    The thread ends, and the connection with it, soon after close(); if FFmpeg blocks, when its own time limit is
    over. The container is never closed by hand: it goes with the last packet that refers to it, so the thread
    that decodes can't be left with freed memory.

    connect: opens the container and chooses the stream; runs in the thread. Its read limit must be finite.
    """

    def __init__(self, connect: "Callable[[], tuple[InputContainer, VideoStream]]", name: str) -> None:
        self._connect, self._name = connect, name
        self._opened: _Mailbox[tuple[InputContainer, VideoStream] | _Failed] = _Mailbox()
        self._packets: _Mailbox[VideoPacket | _Failed] = _Mailbox()
        self._wanted = threading.Event()

    def open(self, timeout_s: float) -> "tuple[InputContainer, VideoStream] | None":
        """The container and its stream; None: closed meanwhile.

        Raises:
            whatever `connect` raises; StalledError: it took too long.
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

    def packets(self, patience: "Callable[[], float]") -> "Iterator[VideoPacket]":
        """The packets as they arrive, the empty one at the end included; ends early when closed.

        patience: seconds that may still pass without a packet.

        Raises:
            StalledError: none came for so long. FFmpegError: reading failed.
        """
        self._wanted.set()
        while True:
            try:
                packet = self._packets.get(patience())
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
        if not self._opened.put((container, stream)):
            return
        # Read on only when somebody decodes, or the first pictures would be old before they are wanted.
        self._wanted.wait()
        try:
            for packet in container.demux(stream):
                if not self._packets.put(packet):
                    return
        except Exception as error:
            self._packets.put(_Failed(error))


class Patience:
    """How long one may still wait for a picture."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self.renew()

    def renew(self) -> None:
        """A picture came."""
        self._until = time.monotonic() + self._limit_s

    def __call__(self) -> float:
        """Seconds left, negative when over."""
        return self._until - time.monotonic()
