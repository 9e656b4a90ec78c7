"""All differences of a span, in figures."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from consumers.replay.differences import Differences
from consumers.replay.look import Look
from streamer.records import FrameHeader, rfc3339


@dataclass(slots=True)
class Agreement:
    """Of one class, or of all: counts of objects, and sums over those that both see."""

    both: int = 0
    only_baseline: int = 0
    only_candidate: int = 0
    iou: float = 0.0
    score_change: float = 0.0

    @property
    def share(self) -> float | None:
        """The share of all objects seen that both see; None: none was seen."""
        seen = self.both + self.only_baseline + self.only_candidate
        return self.both / seen if seen else None

    def add(self, other: "Agreement") -> None:
        """Counts another one in."""
        self.both += other.both
        self.only_baseline += other.only_baseline
        self.only_candidate += other.only_candidate
        self.iou += other.iou
        self.score_change += other.score_change

    def to_json(self) -> dict[str, Any]:
        """As plain data; what doesn't exist is None."""
        return {
            "both": self.both,
            "only_baseline": self.only_baseline,
            "only_candidate": self.only_candidate,
            "agreement": _figure(self.share),
            "mean_iou": _figure(self.iou / self.both if self.both else None),
            "mean_score_change": _figure(self.score_change / self.both if self.both else None),
        }


@dataclass(slots=True)
class Summary:
    """Grows with each frame, by a constant amount at most."""

    frames: int = 0
    compared: int = 0
    differing: int = 0
    repeated: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    details: dict[str, str] = field(default_factory=dict)
    per_class: dict[str, Agreement] = field(default_factory=dict)
    renamed: Counter[tuple[str, str]] = field(default_factory=Counter)
    transports: Counter[str] = field(default_factory=Counter)
    first: FrameHeader | None = None
    last: FrameHeader | None = None

    def meet(self, header: FrameHeader) -> None:
        """Counts a frame."""
        self.frames += 1
        self.first = self.first or header
        self.last = header
        self.transports[f"{header.width}x{header.height}"] += 1

    def leave_out(self, look: Look) -> None:
        """Counts one that can't be compared."""
        self.left_out[look.why] += 1
        self.details.setdefault(look.why, look.detail)

    def add(self, found: Differences, repeated: bool) -> None:
        """Counts one that was compared."""
        self.compared += 1
        self.repeated += repeated
        self.differing += bool(found.only_baseline or found.only_candidate)
        for pair in found.both:
            of_class = self._of(pair.baseline.type)
            of_class.both += 1
            of_class.iou += pair.iou
            of_class.score_change += pair.candidate.confidence - pair.baseline.confidence
        for each in found.only_baseline:
            self._of(each.type).only_baseline += 1
        for each in found.only_candidate:
            self._of(each.type).only_candidate += 1
        self.renamed.update((pair.baseline.type, pair.candidate.type) for pair in found.renamed)

    @property
    def overall(self) -> Agreement:
        """Of all classes together."""
        whole = Agreement()
        for each in self.per_class.values():
            whole.add(each)
        return whole

    def to_json(self) -> dict[str, Any]:
        """As plain data, classes in the order of their names."""
        return {
            "frames": {
                "retained": self.frames,
                "compared": self.compared,
                "differing": self.differing,
                "unchanged": self.repeated,
                "left_out": dict(sorted(self.left_out.items())),
                "first": _frame(self.first),
                "last": _frame(self.last),
                "transport": dict(self.transports),
            },
            "objects": self.overall.to_json(),
            "per_class": {name: each.to_json() for name, each in sorted(self.per_class.items())},
            "renamed": [
                {"baseline": old, "candidate": new, "objects": count}
                for (old, new), count in sorted(self.renamed.items(), key=lambda item: (-item[1], item[0]))
            ],
        }

    def _of(self, name: str) -> Agreement:
        return self.per_class.setdefault(name, Agreement())


def _frame(header: FrameHeader | None) -> dict[str, str] | None:
    return {"id": str(header.id), "captured": rfc3339(header.captured_ms)} if header else None


def _figure(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
