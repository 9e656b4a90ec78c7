"""The record on topic `frames.dead`: a frame as it came, and in headers why nothing more becomes of it."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from streamer.errors import RecordError
from streamer.records.frame import EndHeader, FrameHeader, Headers, parse_headers

_PREFIX = "dead_"


class DeadCause(StrEnum):
    """What is wrong with it."""

    UNREADABLE = "unreadable"  # no JPEG, a damaged one, or not the one that its headers say
    FAILED = "failed"  # whoever looked at it failed, and does not at others
    FATAL = "fatal"  # it ended the process, again and again
    STRANGER = "stranger"  # not written by a producer of ours


@dataclass(frozen=True, slots=True)
class Death:
    """Why a frame is dead. reason: one line; tries: how often it was begun."""

    cause: DeadCause
    reason: str
    tries: int = 1


@dataclass(frozen=True, slots=True)
class DeadFrame:
    """A dead frame.

    header: as its producer wrote it; None: a stranger's record. headers: the same as they came.
    died_ms: when it was recorded, in ms since 1970.
    partition, offset: where it was on `frames`. sha256: of its value, in hexadecimal digits.
    jpeg: its value; None if it is not kept: a stranger's, or too large with what was to be said about it.
    """

    death: Death
    pipeline: str
    header: FrameHeader | EndHeader | None
    headers: Headers
    died_ms: int
    partition: int
    offset: int
    sha256: str
    jpeg: bytes | None

    @property
    def stream(self) -> str:
        """Empty for a stranger's."""
        return self.header.stream if self.header else ""


def dead_headers(death: Death, pipeline: str, place: tuple[int, int], captured_ms: int, value: bytes) -> Headers:
    """What is said about a dead frame, behind its own headers. place: partition and offset on `frames`."""
    return [
        ("dead_cause", death.cause.encode()),
        ("dead_reason", death.reason.encode(errors="backslashreplace")),
        ("dead_tries", b"%d" % death.tries),
        ("dead_pipeline", pipeline.encode()),
        ("dead_captured", b"%d" % captured_ms),
        ("dead_partition", b"%d" % place[0]),
        ("dead_offset", b"%d" % place[1]),
        ("dead_sha256", hashlib.sha256(value).hexdigest().encode()),
    ]


def parse_dead(headers: Sequence[tuple[str, bytes]], value: bytes | None, timestamp_ms: int) -> DeadFrame:
    """A record of `frames.dead`.

    Raises:
        RecordError: it is none that a worker writes.
    """
    try:
        own = [(key, text) for key, text in headers if not key.startswith(_PREFIX)]
        said = {key: text.decode() for key, text in headers if key.startswith(_PREFIX)}
        return DeadFrame(
            Death(DeadCause(said["dead_cause"]), said["dead_reason"], int(said["dead_tries"])),
            said["dead_pipeline"],
            parse_headers(own, int(said["dead_captured"])) if own else None,
            own,
            timestamp_ms,
            int(said["dead_partition"]),
            int(said["dead_offset"]),
            said["dead_sha256"],
            value,
        )
    except KeyError as error:
        raise RecordError(f"not a dead frame: header {error.args[0]} is missing") from None
    except (ValueError, AttributeError, TypeError) as error:
        raise RecordError(f"not a dead frame: {str(error)[:200]}") from None
