"""Which number a decoded picture has in its source, also when some are skipped or can't be decoded."""

from heapq import heappop, heappush


class Counted:
    """Numbers pictures as they come out of the decoder. For sources without trustworthy time stamps."""

    def __init__(self) -> None:
        self._next = 0

    def sent(self, pts: int | None) -> None:
        """A packet goes to the decoder."""

    def number(self, pts: int | None) -> int:
        """The number of the picture that came out."""
        self._next += 1
        return self._next - 1


class Ranked:
    """Numbers pictures by the rank of their presentation time among the container's packets.

    So a picture keeps its number whatever happens to those before it: not decodable, skipped on purpose, or
    jumped over by a seek. Needs packets in a valid decoding order: all packets of pictures shown before one
    have been sent before it comes out.

    first: number of the first packet's picture, after a seek.
    """

    def __init__(self, first: int = 0) -> None:
        self._waiting: list[int] = []
        self._shown = first
        self._last = first - 1

    def sent(self, pts: int | None) -> None:
        """A packet was read, whether or not the decoder gets it."""
        if pts is not None:
            heappush(self._waiting, pts)

    def number(self, pts: int | None) -> int:
        """The number of the picture that came out; always larger than the one before."""
        if pts is not None:
            while self._waiting and self._waiting[0] <= pts:
                heappop(self._waiting)
                self._shown += 1
        # Time stamps that are missing or go back have no rank: one more than the last, then.
        self._last = max(self._last + 1, self._shown - 1)
        return self._last
