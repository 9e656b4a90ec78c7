"""A border that a trembling box crosses once: by a margin in space and a least time, by the source's clock."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from consumers.events.moment import Moment


@dataclass(slots=True)
class Border:
    """Which side of a border one object is on.

    near: the side that it was on when it was last clear of the border by the margin (Schmitt trigger).
    settled: the side that counts: `near` once it has lasted for the least time.
    since: when `near` came to differ from `settled`; None while it doesn't.
    """

    near: bool
    settled: bool
    since: Moment | None = None

    def step(self, depth: float, margin: float, now: Moment) -> None:
        """Takes in how far beyond the border the object is, in pixels, negative on the other side."""
        if abs(depth) >= margin:
            self.near = depth > 0
        if self.near == self.settled:
            self.since = None
        elif self.since is None:
            self.since = now

    def settle(self, now: Moment, least_s: float) -> Moment | None:
        """When the object changed sides, if that has just come to count."""
        since = self.since
        if since is None or now.since(since) < least_s:
            return None
        self.settled, self.since = self.near, None
        return since

    def dump(self) -> list[Any]:
        """As JSON values."""
        return [self.near, self.settled, self.since]

    @classmethod
    def load(cls, saved: Sequence[Any]) -> Self:
        """The reverse.

        Raises:
            TypeError, ValueError: it is none.
        """
        near, settled, since = saved
        return cls(bool(near), bool(settled), None if since is None else Moment.load(since))
