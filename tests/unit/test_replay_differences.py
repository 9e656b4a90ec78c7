"""What two models say of a frame, held against each other, and which frames are shown."""

import pytest

from consumers.replay.differences import Differences, compare
from consumers.replay.pictures import Worst
from consumers.replay.retained import RetainedFrame
from consumers.replay.summary import Summary
from streamer.records import BBox, DetectedObject, FrameId
from tests.integration.worker_rig import header


def seen(kind: str, left: float, confidence: float = 0.5, width: float = 10) -> DetectedObject:
    return DetectedObject("", BBox(left, 0, left + width, 10), kind, confidence)


CAR, MOVED, FAR = seen("car", 0), seen("car", 2), seen("car", 50)
HALF = seen("car", 0, width=5)
TRUCK, BUS = seen("truck", 1), seen("bus", 0)
CASES = [
    ("nothing", (), (), 0, (), (), 0),
    ("the same", (CAR,), (CAR,), 1, (), (), 0),
    ("moved a little", (CAR,), (MOVED,), 1, (), (), 0),
    ("half of it is just enough", (CAR,), (HALF,), 1, (), (), 0),
    ("less than half", (CAR,), (seen("car", 0, width=4.9),), 0, (CAR,), (seen("car", 0, width=4.9),), 0),
    ("elsewhere", (CAR,), (FAR,), 0, (CAR,), (FAR,), 0),
    ("only one", (), (CAR,), 0, (), (CAR,), 0),
    ("twice, the nearer one is it", (CAR,), (MOVED, CAR), 1, (), (MOVED,), 0),
    ("each has a partner, whoever comes first", (MOVED, CAR), (CAR, MOVED), 2, (), (), 0),
    ("under another name", (CAR,), (TRUCK,), 0, (CAR,), (TRUCK,), 1),
    ("another name where the same is taken", (CAR,), (CAR, TRUCK), 1, (), (TRUCK,), 0),
    ("a class of its own doesn't count", (CAR, BUS), (CAR,), 1, (), (), 0),
]


@pytest.mark.parametrize(("_", "old", "new", "both", "only_old", "only_new", "renamed"), CASES)
def test_differences(
    _: str,
    old: tuple[DetectedObject, ...],
    new: tuple[DetectedObject, ...],
    both: int,
    only_old: tuple[DetectedObject, ...],
    only_new: tuple[DetectedObject, ...],
    renamed: int,
) -> None:
    classes = {"car", "truck"}
    found, mirrored = compare(old, new, classes, 0.5), compare(new, old, classes, 0.5)
    assert (len(found.both), found.only_baseline, found.only_candidate, len(found.renamed)) == (
        *(both, only_old, only_new, renamed),
    )
    assert (len(mirrored.both), mirrored.only_baseline, mirrored.only_candidate) == (both, only_new, only_old)


def test_figures() -> None:
    summary = Summary()
    for old, new in (
        ((CAR,), (seen("car", 0, 0.7),)),
        ((CAR, FAR), (MOVED,)),
        ((CAR,), (TRUCK,)),
        ((), ()),
    ):
        summary.add(compare(old, new, {"car", "truck"}, 0.5), repeated=False)
    figures = summary.to_json()
    assert (figures["frames"]["compared"], figures["frames"]["differing"]) == (4, 2)
    assert figures["per_class"]["car"] == {
        "both": 2,
        "only_baseline": 2,
        "only_candidate": 0,
        "agreement": 0.5,
        "mean_iou": round((1 + 8 / 12) / 2, 4),
        "mean_score_change": 0.1,
    }
    assert figures["per_class"]["truck"]["mean_iou"] is None
    assert figures["objects"]["agreement"] == 0.4
    assert figures["renamed"] == [{"baseline": "car", "candidate": "truck", "objects": 1}]


def test_the_worst_are_shown_one_per_second_of_the_source() -> None:
    weights = {0: 0.3, 1: 0.9, 2: 0.8, 10: 0.5, 11: 0.5, 20: 0.4, 30: 0.0}  # sequence: weight, ten frames a second
    worst = Worst(2)
    for sequence, weight in weights.items():
        found = Differences((), (), (seen("car", 0, weight),) if weight else (), ())
        worst.offer(RetainedFrame(header("gate", sequence, source_time=sequence / 10), b"", []), found)
    assert [each.frame.header.id for each in worst.ranked()] == [FrameId(1, 1), FrameId(1, 10)]
    assert Worst(0).ranked() == []
