"""What the checker found, and the words for it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

_SHOWN = 20


@dataclass
class Verdict:
    """What was found. acknowledged: frames on the topic, each once; gaps: records; skipped: frames in gaps, by reason,
    and `late` those that came behind a newer one, from a producer that was frozen, `passed over` those of whole epochs
    in an open gap.

    lost: numbers without a record; doubled, out_of_order: records; wrong: records that say what can't be;
    redis_differs: records that are in one of the two alone, or not alike. findings: the first of them in words.
    """

    acknowledged: int = 0
    results: int = 0
    gaps: int = 0
    events: int = 0
    lost: int = 0
    doubled: int = 0
    out_of_order: int = 0
    wrong: int = 0
    redis_differs: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether everything is as promised."""
        return not (self.lost or self.doubled or self.out_of_order or self.wrong or self.redis_differs)

    def skip(self, reason: str, count: int) -> None:
        """Counts frames in gaps."""
        if count:
            self.skipped[reason] = self.skipped.get(reason, 0) + count

    def blame(self, kind: str, text: str, count: int = 1) -> None:
        """Counts what is not as promised."""
        setattr(self, kind, getattr(self, kind) + count)
        if len(self.findings) < _SHOWN:
            self.findings.append(f"{kind}: {text}")


@dataclass(frozen=True)
class Definition:
    """What a stream's definition lets its records say.

    bound_ms: a frame may be skipped when it is so old; 0: when there is a newer one; None: never.
    round_frames: of a file that is read again and again, how many it has; None: it is no file.
    """

    bound_ms: int | None = 0
    tracked: bool = False
    gated: bool = False
    round_frames: int | None = None

    @classmethod
    def read(cls, definition: Mapping[str, Any], round_frames: int | None = None) -> Self:
        """From the JSON of topic `streams`, in which what isn't said is as docs/sources.md has it."""
        freshness, _, bound = definition.get("freshness", "latest").partition(":")
        bound_ms = {"every": None, "latest": 0}[freshness] if not bound else int(bound)
        gated = definition.get("motion_gate_s") is not None
        return cls(bound_ms, definition.get("track", False), gated, round_frames)


@dataclass(frozen=True)
class Circumstances:
    """What the records are held against, beyond the frames. A stream without a definition is as one that says nothing.

    kept: the first offset that is still there of each partition of `frames`; what has expired lies before it.
    upsets: from when to when, in ms since 1970, a producer that had been away may have taken a stream for its own that
        was another's by then.
    """

    definitions: Mapping[str, Definition] = field(default_factory=dict)
    kept: Mapping[int, int] = field(default_factory=dict)
    upsets: Sequence[tuple[float, float]] = ()

    def of(self, stream: str) -> Definition:
        """A stream's definition."""
        return self.definitions.get(stream, Definition())

    def is_upset(self, epoch: int | None) -> bool:
        """Whether a run began, which is what an epoch says, while two producers may have run its stream."""
        return epoch is not None and any(since <= epoch <= until for since, until in self.upsets)


class Span(NamedTuple):
    """The sequence numbers of one epoch that a record answers for; behind an end there may be no other."""

    first: float
    last: float

    @classmethod
    def of(cls, record: Any) -> "Span":
        """A record's."""
        match record["kind"]:
            case "gap":
                return cls(record["first"], math.inf if record["last"] is None else record["last"])
            case "end":
                return cls(record["sequence"], math.inf)
            case _:
                return cls(record["sequence"], record["sequence"])


def shown(place: tuple[int, float]) -> str:
    """Epoch and number, as in an id."""
    return f"{place[0]}-{place[1]:.0f}"
