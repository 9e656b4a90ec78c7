"""How tracks are made, with defaults tuned on drawn streets with known truth and checked on real clips."""

from dataclasses import dataclass

from streamer.errors import UsageError

VEHICLES = ("car", "truck", "bus")


@dataclass(frozen=True, slots=True)
class TrackingSettings:
    """Scores are a detector's, 0 to 1; times are seconds of the source; overlaps are IoU, 0 to 1.

    low_score: boxes below it are not looked at; the detector must give boxes from here on.
    high_score: boxes from here on may continue any track; those between only one that was in the last frames.
    new_score: boxes from here on begin a track.
    confirm_hits, confirm_s: a track counts once it has so many boxes within such a time.
    keep_s: a track without boxes is remembered for so long, then it ends.
    first_overlap, second_overlap: what a high and a low box must have with a track's prediction, at least.
    same_overlap: a box that overlaps one already given to a track so much, and could be of the same thing, is
        taken for a second look at that thing, and begins nothing.
    groups: class names that detectors take for each other; within one a track may change its class.
    max_tracks: as many at most; then nothing new begins before something ended.

    Raises:
        UsageError: they contradict each other.
    """

    low_score: float = 0.1
    high_score: float = 0.3
    new_score: float = 0.4
    confirm_hits: int = 3
    confirm_s: float = 2.0
    keep_s: float = 3.0
    first_overlap: float = 0.2
    second_overlap: float = 0.4
    same_overlap: float = 0.7
    groups: tuple[tuple[str, ...], ...] = (VEHICLES,)
    max_tracks: int = 500

    def __post_init__(self) -> None:
        if not 0 <= self.low_score <= self.high_score <= self.new_score <= 1:
            raise UsageError("tracking: set 0 <= low_score <= high_score <= new_score <= 1")
        if self.confirm_hits < 1 or self.max_tracks < 1 or min(self.confirm_s, self.keep_s) < 0:
            raise UsageError("tracking: confirm_hits and max_tracks start at 1, confirm_s and keep_s at 0")
        named = [name for group in self.groups for name in group]
        if len(named) != len(set(named)):
            raise UsageError("tracking: a class may be in one group only")
