"""Which packets need no decoding when only some pictures per second are wanted.

The sampler's choice depends on presentation times only, and packets have those before they are decoded. So the
pictures that come out are exactly those that decoding everything and then sampling would choose, as long as the
packets' times can be trusted; the caller sees to that.
"""

from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from typing import TYPE_CHECKING

from producers.sampling import Sampler, slot
from producers.sources.timeline import ArrivalTimeline

if TYPE_CHECKING:
    from producers.sources.container import VideoPacket

_REMEMBERED_SLOTS = 64
_GROUP_PACKETS = 600
_GROUP_BYTES = 32 * 1024**2


class Need(Enum):
    """What a packet is decoded for."""

    PICTURE = "picture"
    REFERENCE = "reference"  # its picture isn't wanted, but others may be predicted from it
    NOTHING = "nothing"
    GAP = "gap"  # nothing, and the next packet that is decoded begins anew, at a key picture


Planned = tuple["VideoPacket", Need]


class Skipper:
    """Decides for the packets of one stream, in decoding order, what they are needed for.

    fps: the sampler's target rate. tick: seconds per unit of the time stamps. origin: the time stamp at 0 s.
    intra_only: no picture is predicted from another, as in MJPEG.
    """

    def __init__(self, fps: float, tick: float, origin: int, *, intra_only: bool) -> None:
        self._fps, self._tick, self._origin, self._intra_only = fps, tick, origin, intra_only
        self._first: dict[int, int] = {}  # per tick of the target rate, the lowest time stamp so far

    def need(self, pts: int | None) -> Need:
        """What the packet with this time stamp is needed for.

        A picture is certainly not wanted if one of the same tick is shown before it; when in doubt, it is wanted.
        """
        if pts is None:
            return Need.PICTURE
        at = self._slot(pts)
        first = self._first.get(at)
        if first is None or pts <= first:
            self._first[at] = pts
            if len(self._first) > _REMEMBERED_SLOTS:
                del self._first[next(iter(self._first))]
            return Need.PICTURE
        return Need.NOTHING if self._intra_only else Need.REFERENCE

    def by_group(self, packets: "Iterable[VideoPacket]") -> Iterator[Planned]:
        """Reads on to the next key picture, so that what follows the last wanted picture before it is left out."""
        group: list[Planned] = []
        size = 0
        for packet in packets:
            if packet.is_keyframe and group:
                yield from self._without_tail(group, packet.pts)
                group, size = [], 0
            elif len(group) >= _GROUP_PACKETS or size >= _GROUP_BYTES:
                # No key picture for long. Whatever comes next may be predicted from these, so all of them go.
                yield from group
                group, size = [], 0
            group.append((packet, self.need(packet.pts)))
            size += packet.size
        yield from group

    def _without_tail(self, group: list[Planned], next_key: int | None) -> Iterator[Planned]:
        last = max((i for i, (_, need) in enumerate(group) if need is Need.PICTURE), default=-1)
        stamps = [packet.pts for packet, _ in group if packet.pts is not None]
        # Pictures behind the key picture may be shown before it and be predicted from this group (open GOP).
        # They are unwanted for sure only if no tick begins between this group and the key picture.
        if next_key is None or not stamps or self._slot(max(stamps)) != self._slot(next_key - 1):
            yield from group
            return
        yield from group[: last + 1]
        yield from ((packet, Need.GAP) for packet, _ in group[last + 1 :])

    def _slot(self, pts: int) -> int:
        return slot((pts - self._origin) * self._tick, self._fps)


def only_arriving(
    packets: "Iterable[VideoPacket]", arrival: ArrivalTimeline, fps: float | None, awaited: Callable[[], bool]
) -> Iterator[Planned]:
    """Packets of independent pictures, those that come too soon for the rate left out undecoded.

    awaited: whether the last wanted packet has brought no picture: then the next one stands in for it.
    """
    sampler = Sampler(fps)
    for packet in packets:
        wanted = sampler.wants(arrival.arrived()) or awaited() or not packet.size
        yield packet, Need.PICTURE if wanted else Need.NOTHING
