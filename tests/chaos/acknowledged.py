"""What the producers themselves say was acknowledged, against the journal.

The journal is a reader of `frames`: a frame that was acknowledged and is gone before anybody has read it, it can't know
of. The producers' own counters can. Asked now and then, as a producer takes its counters with it when it is killed, so
they are a lower bound: what it had acknowledged since it was last asked is not in them.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from tests.chaos.journal import Frame
from tests.chaos.verdict import Verdict

_PUBLISHED = re.compile(r'^streamer_frames_published_total\{stream="([^"]+)"\} (\S+)$', re.MULTILINE)


class Acknowledged:
    """The sum over all lives of all producers."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, int, str], int] = {}
        self._before: Counter[str] = Counter()

    def note(self, name: str, life: int, metrics: str) -> None:
        """What /metrics says of a process in its so-and-so-many-th life."""
        for stream, value in _PUBLISHED.findall(metrics):
            key, count = (name, life, stream), int(float(value))
            if count < self._last.get(key, 0):
                self._before[stream] += self._last[key]  # the stream was given up meanwhile, and taken again
            self._last[key] = count

    @property
    def counts(self) -> dict[str, int]:
        """By stream: at least so many frames."""
        total = self._before.copy()
        for (_, _, stream), count in self._last.items():
            total[stream] += count
        return dict(total)


def check_acknowledged(verdict: Verdict, counts: Mapping[str, int], journal: Mapping[str, Sequence[Frame]]) -> None:
    """That nothing is gone from `frames` that was acknowledged. Repeats count, as the producers count them."""
    for stream, count in counts.items():
        noted = sum(not frame.is_end for frame in journal.get(stream, ()))
        if noted < count:
            verdict.blame("lost", f"{stream}: {count} frames were acknowledged, {noted} came", count - noted)
