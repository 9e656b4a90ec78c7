"""One tracker per stream: gives the boxes of successive frames the numbers of their tracks.

ByteTrack's way (Zhang et al. 2022): sure boxes are paired with all tracks first, then unsure ones with those that
are left and were there a moment ago; a half-hidden object keeps its track, and what never was sure begins none.
Motion is SORT's (Bewley et al. 2016), see `motion`; unsure boxes count less in it (Du et al. 2021). The less sure a
prediction is, after a gap or of a new track, the more generous is the overlap (buffered IoU, Yang et al. 2023), where
OC-SORT (Cao et al. 2023) has separate steps for what was lost. BoT-SORT's (Aharon et al. 2022) camera motion and
looks are not here: our cameras stand, and a second network per object would cost more than the detector.

By the source's time, not by counting frames: under `latest` a worker skips frames, and files vary their rate.

No library does this. Roboflow's `trackers` (the successor of supervision's ByteTrack) and norfair count frames and
need SciPy and more; motpy has been still since 2021; boxmot needs torch and is AGPL. None gives its state out, which
a hand-over between workers needs.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np

from consumers.tracking import table as t
from consumers.tracking import tuning
from consumers.tracking.assign import Places
from consumers.tracking.clock import Clock
from consumers.tracking.frame import Frame
from consumers.tracking.kinds import Kinds
from consumers.tracking.motion import Array, correct, measured_variance, predict, size
from consumers.tracking.overlap import overlaps
from engines.detections import Detections
from streamer.errors import RecordError

VERSION = 1
_PATIENCE = 2.5  # usual intervals that a track may be without a box, however far apart frames are
_MOST_MARGIN = 0.5  # of an object's size: where a prediction is less sure than that, it is a guess
_JUST = 1.5  # usual intervals: so long ago is "in the last frame"


class Tracked(NamedTuple):
    """A box that belongs to a track.

    detection: its index. id: the track's, counted from 1 in each epoch of a stream. kind: the track's class, an
    index into the model's class names. confirmed: False while it may still turn out to be nothing.
    """

    detection: int
    id: int
    kind: int
    confirmed: bool


class Tracker:
    """Tracks of one stream in one epoch. No thread, no clock of its own: the same frames give the same tracks.

    low_score: boxes below it are not looked at. classes: the model's class names. first_id: of the first track.
    """

    def __init__(self, low_score: float, classes: Sequence[str], first_id: int = 1) -> None:
        self._low_score, self._kinds = low_score, Kinds(classes)
        self._table = t.empty()
        self._clock = Clock()
        self._next_id = first_id
        self._ended: tuple[int, ...] = ()

    def update(self, seconds: float, detections: Detections) -> list[Tracked]:
        """The tracks of a frame's boxes, ordered by their index; boxes that belong to none are left out.

        seconds: the source's time of the frame, or when it was captured if there is none.
        detections: boxes in upright source pixels, with scores from `low_score` on. They count to the hundredth of
            a pixel and the ten thousandth of a score, as in a record: replayed records give the same tracks.
        """
        self._clock = self._clock.tick(seconds)
        self._ended = ()
        self._forget()
        frame = Frame(detections, self._low_score)
        if len(self._table):
            predict(self._table[:, t.BOX], self._table[:, t.VELOCITY], self._table[:, t.SPREAD], self._clock.step)
            self._pair(frame)
            self._correct(frame)
        self._begin(frame)
        return self._tracked(frame)

    def ended(self) -> tuple[int, ...]:
        """Confirmed tracks that the last update gave up; their numbers never come again."""
        return self._ended

    @property
    def next_id(self) -> int:
        """Of the next track: what a tracker that takes its place in the same epoch begins with."""
        return self._next_id

    def dump(self) -> dict[str, Any]:
        """Everything that the next frames' tracks depend on, as JSON values: some 350 bytes per track."""
        return {
            "version": VERSION,
            "next": self._next_id,
            "clock": self._clock.dump(),
            "tracks": t.dump_rows(self._table, self._kinds.names),
        }

    @classmethod
    def load(cls, state: Mapping[str, Any], low_score: float, classes: Sequence[str]) -> Self:
        """A tracker that goes on where the dumped one was, bit for bit.

        Raises:
            RecordError: the state is damaged, of another version, or of a model with other classes.
        """
        tracker = cls(low_score, classes)
        try:
            if state["version"] != VERSION:
                raise RecordError(f"state of tracks has version {state['version']!r}, not {VERSION}")
            tracker._clock = Clock.load(state["clock"])
            tracker._table = t.load_rows(state["tracks"], tracker._kinds.names)
            tracker._next_id = int(state["next"])
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise RecordError(f"not a state of tracks: {error!r:.200}") from None
        return tracker

    def _forget(self) -> None:
        """Gives up what has been without a box for too long by the time of this frame."""
        if not len(self._table):
            return
        least = _PATIENCE * self._clock.usual
        known, new = max(tuning.KEEP_S, least), max(tuning.CONFIRM_S, least)
        away = self._clock.now - self._table[:, t.SEEN]
        if away.max() <= min(known, new):
            return
        confirmed = self._table[:, t.CONFIRMED] > 0
        over = away > np.where(confirmed, known, new)
        self._ended = tuple(self._table[over & confirmed, t.ID].astype(int).tolist())
        self._table = self._table[~over]

    def _pair(self, frame: Frame) -> None:
        """Sure boxes with confirmed tracks, then unsure ones, then what may be a track with the sure ones left."""
        table, clock = self._table, self._clock
        family = self._kinds.families(table[:, t.KIND].astype(np.int64))
        same = family[:, None] == self._kinds.families(frame.classes)
        margins = np.minimum(np.sqrt(table[:, t.SPREAD.start]), _MOST_MARGIN * size(table[:, t.BOX]))
        worth = overlaps(table[:, t.BOX], frame.boxes, margins) * same
        confirmed = table[:, t.CONFIRMED] > 0
        recent = clock.now - clock.step - table[:, t.SEEN] <= _JUST * clock.usual
        high = frame.scores >= tuning.HIGH_SCORE
        frame.pair(worth, confirmed, high, tuning.FIRST_OVERLAP)
        frame.pair(worth, confirmed & recent, ~high, tuning.SECOND_OVERLAP)
        frame.pair(worth, ~confirmed, high, tuning.FIRST_OVERLAP)

    def _correct(self, frame: Frame) -> None:
        paired = frame.row >= 0
        rows, seen, scores = frame.row[paired], frame.boxes[paired], frame.scores[paired]
        table = self._table[rows]
        variance = measured_variance(seen, scores)
        correct(table[:, t.BOX], table[:, t.VELOCITY], table[:, t.SPREAD], seen, variance)
        table[:, t.SEEN] = self._clock.now
        better = scores > table[:, t.SCORE]
        if better.any():
            table[better, t.KIND], table[better, t.SCORE] = frame.classes[paired][better], scores[better]
        if not table[:, t.CONFIRMED].all():
            self._confirm(table)
        # Whoever is hidden goes on, but doesn't grow: what covers them shrank their last boxes (ByteTrack).
        self._table[:, t.GROWTH] = 0
        self._table[rows] = table

    def _confirm(self, table: Array) -> None:
        window = max(tuning.CONFIRM_S, _PATIENCE * self._clock.usual)
        table[:, t.HITS] += 1
        late = (table[:, t.CONFIRMED] == 0) & (self._clock.now - table[:, t.BORN] > window)
        table[late, t.HITS], table[late, t.BORN] = 1, self._clock.now
        table[table[:, t.HITS] >= tuning.CONFIRM_HITS, t.CONFIRMED] = 1

    def _begin(self, frame: Frame) -> None:
        """Tracks for sure boxes that have none, the surest first, as far as there is room."""
        chosen = self._first_looks(frame)[: tuning.MAX_TRACKS - len(self._table)]
        if len(chosen):
            frame.row[chosen] = len(self._table) + np.arange(len(chosen))
            boxes, scores, classes = frame.boxes[chosen], frame.scores[chosen], frame.classes[chosen]
            new = t.begin(boxes, scores, classes, self._next_id, self._clock.now)
            self._next_id += len(new)
            self._table = np.concatenate((self._table, new))

    def _first_looks(self, frame: Frame) -> Places:
        """Boxes that may begin a track: sure, without one, and not on top of another box of their family."""
        chosen = ((frame.row < 0) & (frame.scores >= tuning.NEW_SCORE)).nonzero()[0]
        if not len(chosen):
            return chosen
        chosen = chosen[np.argsort(-frame.scores[chosen], kind="stable")]
        family = self._kinds.families(frame.classes)
        over = overlaps(frame.boxes[chosen], frame.boxes) >= tuning.SAME_OVERLAP
        over &= family[chosen][:, None] == family
        claimed = frame.row >= 0
        first = []
        for place, under in zip(chosen.tolist(), over, strict=True):
            if not (claimed & under).any():
                claimed[place] = True
                first.append(place)
        return np.array(first, np.int64)

    def _tracked(self, frame: Frame) -> list[Tracked]:
        boxes = (frame.row >= 0).nonzero()[0]
        shown = self._table[frame.row[boxes], t.SHOWN].astype(np.int64)
        ids, kinds, confirmed = shown.T.tolist()
        return list(map(Tracked, frame.index[boxes].tolist(), ids, kinds, map(bool, confirmed)))
