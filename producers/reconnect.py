"""Keeps a live source going: opens it again, for ever if need be, with growing, jittered waits."""

import threading
import time
from collections.abc import Callable, Generator, Iterator
from enum import StrEnum

from producers.picture import Picture
from producers.sources.container import LoginRefusedError
from producers.sources.source import Source
from streamer.addresses import mask
from streamer.errors import SourceError, SourceUnusableError
from streamer.retry import Backoff
from streamer.settings import ProduceSettings


class State(StrEnum):
    """What a source is doing."""

    CONNECTING = "connecting"
    RUNNING = "running"
    WAITING = "waiting"
    FAILED = "failed"
    ENDED = "ended"


Report = Callable[[State, str], None]


class OtherKindError(Exception):
    """The source is not what it was taken for: a file, or live. live: what it is. Nothing has come of it yet."""

    def __init__(self, live: bool) -> None:
        super().__init__("live" if live else "a file")
        self.live = live


class Reconnecting:
    """The pictures of a source that is opened again whenever a live one fails or ends. Belongs to one thread.

    make: makes the source anew for each connection.
    stop: ends it with the next picture, and a wait at once; close() ends a blocked read, too.
    report: told every change of state, with the reason in one line without credentials ("" or a description).
    live: what the source is taken for. Everything else was made for that before: see OtherKindError.

    Pictures are numbered on over all connections.
    """

    def __init__(
        self,
        make: Callable[[], Source],
        settings: ProduceSettings,
        stop: threading.Event,
        report: Report,
        *,
        live: bool = True,
    ) -> None:
        self._make, self._settings, self._stop, self._report, self._live = make, settings, stop, report, live
        self._backoff = Backoff(settings.reconnect_min_s, settings.reconnect_max_s)
        self._source: Source | None = None
        self._lock = threading.Lock()  # a source that is made while close() runs must be closed as well
        self._past_faults = 0
        self._next_index = 0
        self._failures = 0
        self._worked = False

    @property
    def faults(self) -> int:
        """What could not be decoded, over all connections."""
        source = self._source
        return self._past_faults + (source.faults if source else 0)

    def close(self) -> None:
        """Ends `pictures` soon, from any thread. Sets `stop`."""
        self._stop.set()
        self._close_source()

    def pictures(self, start_index: int = 0) -> Iterator[Picture]:
        """Pictures until a finite source ends, or for ever if it is live; returns when told to stop.

        start_index: number of the first picture wanted, finite sources only.

        Raises:
            SourceUnusableError: it can't ever work.
            OtherKindError: the first connection found the source to be of the other kind.
            SourceError: a finite source broke off, or a live one failed reconnect_attempts times in a row.
        """
        while not self._stop.is_set():
            reason = yield from self._one_connection(start_index)
            if reason is None or self._stop.is_set():
                return
            wait_s = self._backoff.next()
            self._report(State.WAITING, f"{reason}; trying again in {wait_s:.1f} s")
            self._stop.wait(wait_s)

    def _one_connection(self, start_index: int) -> Generator[Picture, None, str | None]:
        """The pictures of one connection; returns why to connect again, None if there is nothing more to come."""
        self._report(State.CONNECTING, "")
        source: Source | None = None
        try:
            source = self._make()
            self._hold(source)
            source.open()
            self._agree(source)
            yield from self._numbered(source, start_index)
            if self._live:
                raise SourceError("the source ended the connection")
        except SourceError as error:
            if self._stop.is_set():
                return None  # closing a source makes it fail in many ways, none of them news
            self._failures += 1
            if source is None or self._is_final(error):
                self._report(State.FAILED, mask(str(error)))
                raise
            return mask(str(error))
        finally:
            self._let_go()
        if not self._stop.is_set():
            self._report(State.ENDED, "")
        return None

    def _agree(self, source: Source) -> None:
        if source.live == self._live:
            return
        if not self._worked:
            raise OtherKindError(source.live)
        # A playlist that is finished when we come back: what it holds was shown, and it may be live again.
        raise SourceError("the server has ended the stream, what it offers now is a recording")

    def _numbered(self, source: Source, start_index: int) -> Iterator[Picture]:
        """The source's pictures, numbered on from the last connection's if it is live."""
        base = self._next_index if self._live else 0
        began: float | None = None
        try:
            for picture in source.pictures(start_index):
                if self._stop.is_set():
                    return
                if began is None:
                    began, self._failures, self._worked = time.monotonic(), 0, True
                    self._report(State.RUNNING, source.describe())
                picture.index += base
                self._next_index = picture.index + 1
                yield picture
        finally:
            if began is not None:
                self._backoff.worked(time.monotonic() - began)

    def _is_final(self, error: SourceError) -> bool:
        if not self._live or isinstance(error, LoginRefusedError):
            return True
        # What has worked once can work again: an address that is gone for now is a server that restarts.
        if isinstance(error, SourceUnusableError) and not self._worked:
            return True
        return 0 < self._settings.reconnect_attempts <= self._failures

    def _hold(self, source: Source) -> None:
        with self._lock:
            self._source = source
        if self._stop.is_set():
            self._close_source()

    def _let_go(self) -> None:
        self._close_source()
        with self._lock:
            if self._source:
                self._past_faults += self._source.faults
            self._source = None

    def _close_source(self) -> None:
        with self._lock:
            if self._source:
                self._source.close()
