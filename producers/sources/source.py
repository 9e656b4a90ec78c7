"""What every kind of source offers."""

from collections.abc import Iterator
from typing import Protocol

from producers.picture import Picture


class Source(Protocol):
    """One run of one source, from open to close. Belongs to one thread, but for `close`.

    live: pictures come at the source's own pace and are gone if nobody takes them; its end is a disconnect. Before
        open(): what it probably is.
    faults: packets and pictures so far that could not be decoded.
    """

    live: bool
    faults: int

    def open(self) -> None:
        """Connects, and reads as much as is needed to know what is in there.

        Raises:
            SourceUnusableError: it can't ever work as defined: no such file, wrong password, no video in it.
            SourceError: it does not work now, and may later.
        """

    def pictures(self, start_index: int = 0) -> Iterator[Picture]:
        """The pictures in order of presentation, from number `start_index` on (finite sources only).

        Ends where the source ends or is closed. Once per open().

        Raises:
            SourceError: it broke off.
        """

    def close(self) -> None:
        """Lets everything go. From any thread, more than once; `pictures` ends soon after, a blocked read too."""

    def describe(self) -> str:
        """What it is, in some words: codec, size, rate. Without credentials. After open()."""
