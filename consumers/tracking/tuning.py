"""How tracks are made: tuned on drawn streets with known truth and checked on real clips.

Scores are a detector's, 0 to 1; times are seconds of the source; overlaps are IoU, 0 to 1.
"""

HIGH_SCORE = 0.3
"""Boxes from here on may continue any track; those below only one that was in the last frames."""
NEW_SCORE = 0.4
"""Boxes from here on begin a track."""
CONFIRM_HITS, CONFIRM_S = 3, 2.0
"""A track counts once it has so many boxes within such a time."""
KEEP_S = 3.0
"""A track without boxes is remembered for so long, then it ends."""
FIRST_OVERLAP, SECOND_OVERLAP = 0.2, 0.4
"""What a high and a low box must have with a track's prediction, at least."""
SAME_OVERLAP = 0.7
"""A box that overlaps one already given to a track so much, and could be of the same thing, is taken for a second look
at that thing, and begins nothing."""
VEHICLES = ("car", "truck", "bus")
GROUPS = (VEHICLES,)
"""Class names that detectors take for each other; within one a track may change its class."""
MAX_TRACKS = 500
"""As many at most; then nothing new begins before something ended."""
