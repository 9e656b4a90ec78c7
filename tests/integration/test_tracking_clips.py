"""Tracks on real clips, each frame through a real detector: who stays in view keeps the id, at a hand-over too."""

import json
from pathlib import Path

import av
import pytest

from consumers.tracking.tracker import Tracked, Tracker
from engines.detections import Detections
from engines.detector import Detector, open_detector
from streamer.settings import DetectSettings

pytestmark = pytest.mark.shared
PERSON = 0
LOW = 0.1
Frames = list[tuple[float, Detections]]


@pytest.fixture(scope="module")
def detector(shared: Path) -> Detector:
    model = shared / "models/yolox_nano_as_v8.onnx"
    return open_detector(DetectSettings(model=str(model), confidence=LOW), threads=1)


def frames(detector: Detector, clip: Path, first: int, last: int) -> Frames:
    """What is found in some frames of a clip, with their times."""
    with av.open(str(clip)) as container:
        pictures = [
            frame for number, frame in zip(range(last), container.decode(video=0), strict=False) if number >= first
        ]
        return [
            (picture.time, detector.detect_pictures([picture.to_ndarray(format="rgb24")])[0]) for picture in pictures
        ]


@pytest.fixture(scope="module")
def one_by_one(detector: Detector, shared: Path) -> Frames:
    # Two people pass one after the other, with nobody in between.
    return frames(detector, shared / "videos/people_one_by_one.mp4", 60, 460)


@pytest.fixture(scope="module")
def street(detector: Detector, shared: Path) -> Frames:
    return frames(detector, shared / "videos/people_street_720p.mp4", 0, 100)


def track(found: Frames, detector: Detector, handed_over: bool = False) -> list[list[Tracked]]:
    """Confirmed tracks, frame by frame. handed_over: to another tracker, before every frame."""
    tracker = Tracker(LOW, detector.model.classes)
    followed = []
    for seconds, detections in found:
        if handed_over:
            state = json.loads(json.dumps(tracker.dump()))
            tracker = Tracker.load(state, LOW, detector.model.classes)
        followed.append([one for one in tracker.update(seconds, detections) if one.confirmed])
    return followed


def test_two_people_who_pass_one_after_the_other_are_two(detector: Detector, one_by_one: Frames) -> None:
    people = [one.id for frame in track(one_by_one, detector) for one in frame if one.kind == PERSON]
    first, second = sorted(set(people))
    assert people == [first] * people.count(first) + [second] * people.count(second)
    assert min(people.count(first), people.count(second)) > 100


def test_most_of_a_crowd_keeps_its_ids(detector: Detector, street: Frames) -> None:
    """Four seconds with 20 to 30 people who hide each other: who was there after one is there at the end."""
    followed = track(street, detector)
    early, late = ({one.id for frame in part for one in frame} for part in (followed[20:30], followed[-10:]))
    assert len(early) >= 20
    assert len(early & late) >= 0.7 * len(early)


@pytest.mark.parametrize("clip", ["one_by_one", "street"])
def test_a_tracker_that_is_handed_over_changes_no_id(
    detector: Detector, clip: str, request: pytest.FixtureRequest
) -> None:
    found: Frames = request.getfixturevalue(clip)
    assert track(found, detector, handed_over=True) == track(found, detector)
