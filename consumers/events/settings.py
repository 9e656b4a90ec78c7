"""How often events say that an object is still there."""

from dataclasses import dataclass

from streamer.errors import UsageError


@dataclass(frozen=True, slots=True)
class EventSettings:
    """update_s: an object that stays makes an event each so many seconds, by the source's time; None: none.

    Raises:
        UsageError: update_s is not above 0.
    """

    update_s: float | None = 10.0

    def __post_init__(self) -> None:
        if self.update_s is not None and not self.update_s > 0:
            raise UsageError("events: set update_s above 0, or to none")
