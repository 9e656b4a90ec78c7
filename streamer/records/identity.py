"""Which frame: stream / epoch / sequence."""

import re
from dataclasses import dataclass

from streamer.errors import UsageError

# Also part of Redis keys, Kafka client ids and file names, hence the narrow alphabet.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def is_name(name: str) -> bool:
    """Whether `name` can be a stream's or pipeline's name."""
    return _NAME.fullmatch(name) is not None


def check_name(name: str, what: str) -> str:
    """`name` if it can be a stream's or pipeline's name: 1 to 64 of A-Z a-z 0-9 . _ -, a letter or digit first.

    Raises:
        UsageError: otherwise.
    """
    if not is_name(name):
        raise UsageError(
            f"{what} {name[:80]!r}: use 1 to 64 letters, digits, dots, underscores and dashes, a letter or digit first"
        )
    return name


@dataclass(frozen=True, slots=True, order=True)
class FrameId:
    """Identity of a frame within its stream; ordered as the frames were captured.

    epoch: when the run of the source began, in ms since 1970, but always larger than the stream's last epoch.
    sequence: counts from 0 within the epoch, given at capture, before any drop: a drop is a visible hole.
    """

    epoch: int
    sequence: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.sequence}"  # also the id of the result in Redis


ZERO = FrameId(0, 0)
"""Before every frame."""
