"""Fewer pictures per second, chosen before anything is done to them."""

from math import floor


def slot(seconds: float, fps: float) -> int:
    """Which of the target rate's ticks a picture belongs to: the nearest one.

    Nearest, not the last: time stamps are rounded to milliseconds or jitter by a few, and sampling 30 frames/s
    to 30 must not lose any for that.
    """
    return floor(seconds * fps + 0.5 + 1e-6)


class Sampler:
    """Takes the first picture of every tick of the target rate; the mean rate is exact wherever there are enough.

    fps: target in frames/s, None: every picture.
    after: `seconds` of the last picture that was taken before a restart, None: there was none.
    """

    def __init__(self, fps: float | None, after: float | None = None) -> None:
        self._fps = fps
        self._last = None if fps is None or after is None else slot(after, fps)

    def wants(self, seconds: float | None) -> bool:
        """Whether the picture shown at `seconds` is taken. In order of presentation."""
        if self._fps is None or seconds is None:
            return True
        tick = slot(seconds, self._fps)
        if tick == self._last:
            return False
        self._last = tick
        return True

    def begin_anew(self) -> None:
        """The next picture is taken: its time is another connection's, which all begin at 0."""
        self._last = None
