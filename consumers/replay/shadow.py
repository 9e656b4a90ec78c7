"""A candidate held against the one in service, over the retained frames of a span."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from consumers.replay.differences import Differences, compare
from consumers.replay.look import Look, Looker
from consumers.replay.pictures import Worst
from consumers.replay.retained import RetainedFrame
from consumers.replay.summary import Summary
from streamer.errors import UsageError

OVERLAP = 0.5
"""IoU from which two boxes are one object, as in `streamer evaluate`'s AP50."""


@dataclass(frozen=True, slots=True)
class SharedNames:
    """Classes by name: those that both sides know and that are compared, and those that only one does."""

    both: frozenset[str]
    only_baseline: tuple[str, ...]
    only_candidate: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Compared:
    """One frame. found: None if it was left out, for the reason that `left_out` gives."""

    frame: RetainedFrame
    found: Differences | None
    before: Look
    left_out: Look | None = None


def share_names(baseline: Looker, candidate: Looker) -> SharedNames:
    """What both know. Of a baseline whose classes aren't known, it is taken that they are the candidate's.

    Raises:
        UsageError: they have no class in common.
    """
    new = candidate.classes or ()
    old = new if baseline.classes is None else baseline.classes
    both = frozenset(old) & frozenset(new)
    if not both:
        raise UsageError(f"{baseline.name} finds {few(old)}, {candidate.name} {few(new)}: no class of the same name")
    return SharedNames(
        both, tuple(name for name in old if name not in both), tuple(name for name in new if name not in both)
    )


def shadow(
    frames: Iterable[RetainedFrame],
    baseline: Looker,
    candidate: Looker,
    names: SharedNames,
    worst: Worst,
    write: Callable[[Compared], None],
    least: float = OVERLAP,
) -> Summary:
    """Shows the frames, in order, to both; what only one has a result for is left out and counted.

    write: called with each frame. least: IoU from which two boxes are one object. Keeps nothing but figures and what
    `worst` keeps.
    """
    summary = Summary()
    for frame in frames:
        summary.meet(frame.header)
        compared = _compare(frame, baseline, candidate, names, least)
        if compared.found is None:
            assert compared.left_out is not None
            summary.leave_out(compared.left_out)
        else:
            summary.add(compared.found, compared.before.repeats is not None)
            worst.offer(frame, compared.found)
        write(compared)
    return summary


def _compare(frame: RetainedFrame, baseline: Looker, candidate: Looker, names: SharedNames, least: float) -> Compared:
    before = baseline.look(frame)
    if before.objects is None:
        return Compared(frame, None, before, left_out=before)
    after = candidate.look(frame)
    if after.objects is None:
        return Compared(frame, None, before, left_out=after)
    return Compared(frame, compare(before.objects, after.objects, names.both, least), before)


def few(names: Iterable[str]) -> str:
    """The first names of a list, for a line."""
    names = list(names)
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
