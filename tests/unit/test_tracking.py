"""Tracks: who keeps an id through what, by the source's time, and goes on bit for bit behind a hand-over."""

import json
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumers.tracking import tuning
from consumers.tracking.clock import Clock
from consumers.tracking.tracker import Tracked, Tracker
from consumers.worker import Worker
from engines.detections import Detections
from streamer.errors import RecordError
from streamer.settings import DetectSettings, Settings

CLASSES = ("person", "car", "truck", "bus")
PERSON, CAR, TRUCK, BUS = range(4)
LOW = 0.1
WIDTH, HEIGHT = 40, 100
Box = tuple[float, float, float, int]  # middle x, y, score, class
Scene = Callable[[float], Iterable[Box]]


def detections(boxes: Iterable[Box]) -> Detections:
    rows = sorted(boxes, key=lambda box: -box[2])
    corners = [(x - WIDTH / 2, y - HEIGHT / 2, x + WIDTH / 2, y + HEIGHT / 2) for x, y, _, _ in rows]
    return Detections(
        np.array(corners, np.float32).reshape(-1, 4),
        np.array([row[2] for row in rows], np.float32),
        np.array([row[3] for row in rows], np.int64),
    )


def play(scene: Scene, times: Iterable[float], tracker: Tracker | None = None) -> list[dict[int, tuple[float, float]]]:
    """Where each confirmed track's box was, frame by frame."""
    tracker = tracker or Tracker(LOW, CLASSES)
    frames = []
    for time in times:
        found = detections(scene(time))
        middles = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
        tracked = [one for one in tracker.update(time, found) if one.confirmed]
        frames.append({one.id: tuple(middles[one.detection].tolist()) for one in tracked})
    return frames


def times(until: float, fps: float = 10, start: float = 0) -> list[float]:
    return [start + number / fps for number in range(int((until - start) * fps))]


def ids(frames: Iterable[dict[int, tuple[float, float]]]) -> set[int]:
    return {track for frame in frames for track in frame}


def walker(start: float, speed: float, y: float = 200, score: float = 0.8, kind: int = PERSON) -> Scene:
    return lambda time: [(start + speed * time, y, score, kind)]


def together(*scenes: Scene) -> Scene:
    return lambda time: [box for scene in scenes for box in scene(time)]


def during(scene: Scene, begin: float, end: float) -> Scene:
    return lambda time: scene(time) if begin <= time < end else []


def without(scene: Scene, begin: float, end: float) -> Scene:
    return lambda time: [] if begin <= time < end else scene(time)


def unsure(scene: Scene, begin: float, end: float, score: float = 0.15) -> Scene:
    return lambda time: [(x, y, score if begin <= time < end else s, k) for x, y, s, k in scene(time)]


def flickering(scene: Scene, kinds: Sequence[int]) -> Scene:
    return lambda time: [(x, y, s, kinds[round(time * 10) % len(kinds)]) for x, y, s, _ in scene(time)]


def nearer_hides(one: Scene, other: Scene) -> Scene:
    """The second is not seen while it is mostly behind the first."""

    def scene(time: float) -> list[Box]:
        (front,), (back,) = one(time), other(time)
        return [front] if abs(front[0] - back[0]) < WIDTH * 0.6 else [front, back]

    return scene


@pytest.mark.parametrize(
    ("scene", "tracks"),
    [
        pytest.param(walker(100, 60), 1, id="one walks"),
        pytest.param(together(walker(0, 60), walker(300, -60)), 2, id="two cross in plain sight"),
        pytest.param(nearer_hides(walker(0, 60), walker(300, -60)), 2, id="two cross, one behind the other"),
        pytest.param(nearer_hides(walker(100, 0), walker(0, 80)), 2, id="one passes behind another who stands"),
        pytest.param(together(walker(0, 50), walker(60, 50)), 2, id="two walk side by side"),
        pytest.param(without(walker(0, 30), 2, 4), 1, id="hidden for 2 s"),
        pytest.param(unsure(walker(0, 60), 1, 4), 1, id="unsure for 3 s"),
        pytest.param(unsure(walker(0, 60), 0, 9), 0, id="never sure"),
        pytest.param(together(walker(0, 60), during(walker(400, 0), 1, 1.15)), 1, id="a false alarm for two frames"),
        pytest.param(flickering(walker(0, 60), (CAR, TRUCK, CAR, BUS)), 1, id="a car taken for a truck and a bus"),
        pytest.param(flickering(walker(0, 60), (PERSON,) * 30 + (CAR,) * 30), 2, id="a person is never a car"),
        pytest.param(
            together(walker(0, 60, kind=CAR), walker(0, 60, score=0.5, kind=TRUCK)), 1, id="one car found as two things"
        ),
        pytest.param(together(walker(0, 60), walker(0, 60, kind=CAR)), 2, id="a driver in a car"),
        pytest.param(
            together(during(walker(0, 60), 0, 2), during(walker(600, -60), 2, 5)), 2, id="one leaves, one enters"
        ),
    ],
)
def test_who_is_who(scene: Scene, tracks: int) -> None:
    frames = play(scene, times(5))
    assert len(ids(frames)) == tracks


@pytest.mark.parametrize("fps", [3, 10, 30])
@pytest.mark.parametrize("hidden", [False, True], ids=["in plain sight", "hidden"])
def test_those_who_cross_keep_their_own_ids(fps: float, hidden: bool) -> None:
    one, other = walker(0, 60), walker(300, -60)
    frames = play(nearer_hides(one, other) if hidden else together(one, other), times(5, fps))
    places = {track: place for frame in reversed(frames) for track, place in frame.items()}
    left, right = sorted(places, key=lambda track: places[track][0])
    assert frames[-1][left][0] > 230
    assert frames[-1][right][0] < 70


def test_two_who_meet_and_turn_back_keep_their_own_ids() -> None:
    def scene(time: float) -> list[Box]:
        apart = abs(time - 2.5) * 60 + 24
        return [(300 - apart, 200, 0.8, PERSON), (300 + apart, 200, 0.7, PERSON)]

    frames = play(scene, times(5))
    assert len(ids(frames)) == 2
    assert {track: place[0] < 300 for track, place in frames[5].items()} == {
        track: place[0] < 300 for track, place in frames[-1].items()
    }


def test_what_is_covered_bit_by_bit_has_not_shrunk() -> None:
    tracker = Tracker(LOW, CLASSES)
    found = [(time, (200, 100, 300, 300)) for time in times(1)]
    # A gate closes from both sides, and opens after 1.5 s.
    found += [(time, (200 + 25 * (time - 1), 100, 300 - 25 * (time - 1), 300)) for time in times(2.3, start=1)]
    found += [(time, (200, 100, 300, 300)) for time in times(5, start=3.8)]
    seen = set()
    for time, corners in found:
        boxes = np.array([corners], np.float32)
        seen |= {one.id for one in tracker.update(time, Detections(boxes, np.float32([0.8]), np.array([PERSON])))}
    assert seen == {1}


@pytest.mark.parametrize("fps", [2, 5, 25, 60])
def test_time_counts_not_frames(fps: float) -> None:
    """The same walk at any rate: one track, confirmed and given up at about the same time."""
    tracker = Tracker(LOW, CLASSES)
    frames = play(walker(0, 40), times(4, fps), tracker)
    assert len(ids(frames)) == 1
    last = times(4, fps)[-1]
    given_up = [(tracker.update(last + away, detections([])), tracker.ended()) for away in (1.0, 2.0, 2.95, 3.05, 3.1)]
    assert given_up == [([], ()), ([], ()), ([], ()), ([], (1,)), ([], ())]


@pytest.mark.parametrize(
    ("gap", "tracks"),
    [(0.0, 1), (1.0, 1), (2.8, 1), (3.5, 2), (3600.0, 2), (1.7e9, 2)],
)
def test_a_gap_of_missing_frames(gap: float, tracks: int) -> None:
    frames = times(2) + [time + gap for time in times(4, start=2)]
    assert len(ids(play(walker(0, 30), frames))) == tracks


@pytest.mark.parametrize(
    "clock",
    [
        pytest.param(lambda time: 5.0, id="stands still"),
        pytest.param(lambda time: time if time < 2 else time - 1000, id="falls once"),
        pytest.param(lambda time: time if round(time * 10) % 3 else time - 0.1, id="stutters"),
        pytest.param(lambda time: -time, id="runs backwards"),
        pytest.param(lambda time: 1e300 if 1 < time < 2 else time, id="is absurd"),
        pytest.param(lambda time: float("nan") if 1 < time < 2 else time, id="is no number"),
    ],
)
def test_whatever_the_clock_does(clock: Callable[[float], float]) -> None:
    tracker = Tracker(LOW, CLASSES)
    seen = set()
    for time in times(5):
        seen |= {one.id for one in tracker.update(clock(time), detections(walker(0, 60)(time)))}
    assert seen == {1}


def test_confirmed_after_enough_hits_within_a_time() -> None:
    tracker = Tracker(LOW, CLASSES)
    found = [tracker.update(time, detections([(100, 200, 0.8, PERSON)]))[0].confirmed for time in times(0.5)]
    assert found == [False, False, True, True, True]


def test_a_track_is_of_the_class_that_was_surest() -> None:
    tracker = Tracker(LOW, CLASSES)
    kinds = []
    for number, (kind, score) in enumerate([(CAR, 0.5), (TRUCK, 0.9), (BUS, 0.6), (CAR, 0.8)]):
        kinds += [one.kind for one in tracker.update(number / 10, detections([(100, 200, score, kind)]))]
    assert kinds == [CAR, TRUCK, TRUCK, TRUCK]


def test_indexes_are_those_of_the_detections() -> None:
    tracker = Tracker(LOW, CLASSES)
    found = detections([(100, 200, 0.9, PERSON), (300, 200, 0.05, PERSON), (500, 200, 0.04, PERSON)])
    assert tracker.update(0, found) == [Tracked(detection=0, id=1, kind=PERSON, confirmed=False)]
    moved = detections([(500, 200, 0.9, PERSON), (101, 200, 0.3, PERSON)])
    assert [(one.detection, one.id) for one in tracker.update(0.1, moved)] == [(0, 2), (1, 1)]


def test_when_there_are_too_many_nothing_new_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "MAX_TRACKS", 2)
    tracker = Tracker(LOW, CLASSES)
    crowd = [(100 * number, 200, 0.9 - number / 10, PERSON) for number in range(4)]
    for time in times(1):
        assert [one.id for one in tracker.update(time, detections(crowd))] == [1, 2]


@pytest.mark.parametrize("low", [0, LOW, 0.35, 0.4])
def test_candidates_may_be_as_sure_as_what_begins_a_track(low: float) -> None:
    """Whatever `detect.candidate_confidence` may be, a worker starts, and what is surer keeps its track."""
    worker = Worker(Settings(detect=DetectSettings(candidate_confidence=low)), "one")
    tracker = Tracker(worker._followers._low_score, CLASSES)
    assert ids(play(unsure(walker(0, 40), 1, 2, score=0.4), times(4), tracker)) == {1}


def test_the_clock_learns_the_usual_interval_and_leaves_pauses_out() -> None:
    clock = Clock()
    for number in range(200):
        clock = clock.tick(1000 + number / 25 + (60 if number > 100 else 0))
    assert clock.now == pytest.approx(199 / 25 + 60)
    assert clock.usual == pytest.approx(1 / 25, rel=0.01)


# Random crowds: some walk, some vanish for a while, scores rise and fall.
crowds = st.lists(
    st.tuples(
        st.floats(0, 400),
        st.floats(-80, 80),
        st.sampled_from([100.0, 160.0, 300.0]),
        st.floats(0.1, 1),
        st.integers(0, 3),
    ),
    max_size=6,
)
steps = st.lists(st.sampled_from([0.04, 0.1, 0.1, 0.0, -0.1, 0.7, 5.0]), min_size=4, max_size=30)


def crowd_at(crowd: Sequence[tuple[float, ...]], number: int) -> Detections:
    boxes = [
        (x + speed * number / 10, y, min(1.0, score * (1 + 0.5 * np.sin(number + x))), int(kind))
        for x, speed, y, score, kind in crowd
        if (number + int(x)) % 7
    ]
    return detections(boxes)


def rounded(found: Detections) -> Detections:
    """As it comes back from a record."""
    boxes = [[round(float(value), 2) for value in row] for row in found.boxes]
    scores = [round(float(score), 4) for score in found.scores]
    return Detections(np.array(boxes, np.float32).reshape(-1, 4), np.array(scores, np.float32), found.classes)


@settings(deadline=None)
@given(crowds, steps, st.data())
def test_a_reloaded_tracker_goes_on_bit_for_bit(
    crowd: list[tuple[float, ...]], steps: list[float], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(steps)))
    whole, first = (Tracker(LOW, CLASSES) for _ in range(2))
    time = 0.0
    for number, step in enumerate(steps):
        time += step
        if number == cut:
            first = Tracker.load(json.loads(json.dumps(first.dump())), LOW, CLASSES)
        found = crowd_at(crowd, number)
        # The one that was handed over also gets what a record kept.
        assert first.update(time, rounded(found)) == whole.update(time, found)
        assert first.ended() == whole.ended()
    assert first.dump() == whole.dump()


def test_a_state_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "MAX_TRACKS", 50)
    tracker = Tracker(LOW, CLASSES)
    for number in range(20):
        tracker.update(number / 10, detections([(60 * k + 13 * number, 200, 0.9, PERSON) for k in range(100)]))
    state = tracker.dump()
    assert len(state["tracks"]) <= 50
    assert len(json.dumps(state)) < 50 * 500


def test_a_state_finds_its_classes_in_a_longer_list() -> None:
    tracker = Tracker(LOW, CLASSES)
    tracker.update(0, detections([(100, 200, 0.9, CAR)]))
    longer = Tracker.load(tracker.dump(), LOW, ("bicycle", *CLASSES))
    boxes = detections([(100, 200, 0.9, CAR + 1)])
    assert [(one.id, one.kind) for one in longer.update(0.1, boxes)] == [(1, CAR + 1)]


@pytest.mark.parametrize(
    "damage",
    [
        lambda state: state.pop("tracks"),
        lambda state: state.update(version=99),
        lambda state: state["tracks"][0]["row"].pop(),
        lambda state: state["tracks"][0].update({"class": "zebra"}),
        lambda state: state["tracks"][0]["row"].__setitem__(0, float("inf")),
        lambda state: state["clock"].update(usual=0),
        lambda state: state.update(next="many"),
        lambda state: state.update(tracks=7),
    ],
)
def test_a_damaged_state_is_refused(damage: Callable[[dict[str, object]], object]) -> None:
    tracker = Tracker(LOW, CLASSES)
    tracker.update(0, detections([(100, 200, 0.9, PERSON)]))
    state = tracker.dump()
    damage(state)
    with pytest.raises(RecordError):
        Tracker.load(state, LOW, CLASSES)
