"""Ids of objects across frames, batches and workers."""

from typing import Any

import pytest

from consumers.entry import Batch
from consumers.follow import Followers
from consumers.tracking.settings import TrackingSettings
from streamer.records import BBox, DetectedObject, End, FrameId, Gap, GapReason, Result

CLASSES = ("person", "car", "truck")
NOW = 1_700_000_000_000


def thing(left: float, kind: str = "person", score: float = 0.9) -> DetectedObject:
    return DetectedObject("", BBox(left, 100, left + 40, 200), kind, score)


def result(
    sequence: int, *objects: DetectedObject, epoch: int = 1, source_time: float | None = None, **changes: Any
) -> Result:
    values: dict[str, Any] = {"candidates": (), "source_time": source_time} | changes
    return Result("main", "a", FrameId(epoch, sequence), NOW + sequence * 100, 640, 480, objects, **values)


class Stream:
    """Feeds followers as the committer does; `hand_over` is what another worker does with the last state."""

    def __init__(self) -> None:
        self.states: dict[str, bytes] = {}
        self.followers = self._open()

    def _open(self, classes: tuple[str, ...] = CLASSES) -> Followers:
        followers = Followers(TrackingSettings())
        followers.classes = classes
        followers.open(0, self.states)
        return followers

    def put(self, *records: Any) -> list[Any]:
        batch = Batch(None, records=[(0, record) for record in records])
        self.followers.follow(batch)
        for (_, stream), state in batch.states.items():
            self.states.pop(stream, None)
            if state is not None:
                self.states[stream] = state
        return [record for _, record in batch.records]

    def hand_over(self, classes: tuple[str, ...] = CLASSES) -> None:
        self.followers = self._open(classes)


def ids(records: list[Any]) -> list[list[str]]:
    return [[one.id for one in record.objects] for record in records]


def walk(first: int, last: int, **options: Any) -> list[Result]:
    """Somebody who goes to the right, and a car that stands."""
    return [result(n, thing(10 + 5 * n), thing(400, "car"), **options) for n in range(first, last)]


def test_an_object_keeps_its_id_and_is_tentative_at_first() -> None:
    seen = Stream().put(*walk(0, 6))
    assert ids(seen) == [["1", "2"]] * 6
    assert [record.objects[0].info.get("track") for record in seen] == ["tentative"] * 2 + [None] * 4


@pytest.mark.parametrize("cut", range(1, 8))
def test_a_hand_over_changes_nothing(cut: int) -> None:
    whole, parted = Stream(), Stream()
    expected = whole.put(*walk(0, 10))
    seen = parted.put(*walk(0, cut))
    parted.hand_over()
    assert seen + parted.put(*walk(cut, 10)) == expected
    assert parted.states == whole.states


def test_a_new_run_counts_anew_and_an_end_leaves_nothing_to_remember() -> None:
    stream = Stream()
    stream.put(*walk(0, 4))
    assert set(stream.states) == {"a"}
    assert ids(stream.put(*walk(0, 1, epoch=2))) == [["1", "2"]]
    end = End("main", "a", FrameId(2, 1), NOW)
    assert stream.put(end) == [end]
    assert stream.states == {}


def test_what_is_not_tracked_is_left_as_it_is_and_forgotten() -> None:
    stream = Stream()
    stream.put(*walk(0, 4))
    plain = result(4, thing(10), candidates=None)
    gap = Gap("main", "a", FrameId(1, 5), 6, GapReason.STALE, NOW)
    assert stream.put(plain, gap) == [plain, gap]
    assert stream.states == {}


def test_a_class_that_flickers_is_the_track_s_and_a_candidate_keeps_a_track_without_being_shown() -> None:
    stream = Stream()
    stream.put(*walk(0, 4))
    flicker = stream.put(result(4, thing(30), thing(400, "truck", 0.6)))
    assert [one.type for one in flicker[0].objects] == ["person", "car"]
    hidden = stream.put(result(5, thing(35), candidates=(thing(400, "car", 0.15),)))
    assert ids(hidden) == [["1"]]
    assert ids(stream.put(result(6, thing(40), thing(400, "car")))) == [["1", "2"]]


def test_a_camera_s_own_clock_that_comes_late_does_not_move_time() -> None:
    stream = Stream()
    stream.put(*walk(0, 5))
    late = [result(n, thing(10 + 5 * n), thing(400, "car"), source_time=5e8 + n) for n in range(5, 8)]
    assert ids(stream.put(*late)) == [["1", "2"]] * 3


@pytest.mark.parametrize(
    "state", [b"", b"{}", b"[]", b'{"version": 9}', b'{"version":1,"epoch":1,"bySource":0,"ahead":0,"tracker":{}}']
)
def test_a_state_that_can_t_be_read_begins_anew(state: bytes) -> None:
    stream = Stream()
    stream.states = {"a": state}
    stream.hand_over()
    assert ids(stream.put(*walk(0, 2))) == [["1", "2"]] * 2


def test_a_state_of_a_model_without_its_classes_begins_anew() -> None:
    stream = Stream()
    stream.put(*walk(0, 4))
    stream.hand_over(("cat", "person"))
    assert stream.put(result(4, thing(30)))[0].objects[0].info == {"track": "tentative"}


def test_partitions_that_were_given_up_are_forgotten() -> None:
    stream = Stream()
    stream.put(*walk(0, 4))
    stream.followers.forget([0])
    stream.followers.open(0, {})
    assert stream.put(*walk(4, 5))[0].objects[0].info == {"track": "tentative"}
