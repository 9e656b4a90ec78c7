"""Ids of objects across frames, batches and workers."""

from typing import Any

import pytest

from consumers.entry import Batch
from consumers.follow import Followers
from streamer.records import BBox, DetectedObject, End, Event, FrameId, Gap, GapReason, Result
from streamer.records.stream import Zone

CLASSES = ("person", "car", "truck")
LOW = 0.1
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
        self.places: Any = ((), ())
        self.events: list[Event] = []
        self.followers, _ = self._open(CLASSES)

    def _open(self, classes: tuple[str, ...]) -> tuple[Followers, dict[str, FrameId]]:
        followers = Followers("main", LOW, lambda stream: self.places)
        followers.classes = classes
        return followers, followers.open(0, self.states)

    def put(self, *records: Any) -> list[Any]:
        batch = Batch(None, records=[(0, record) for record in records])
        self.followers.follow(batch)
        self.events += [event for _, event in batch.events]
        for (_, stream), state in batch.states.items():
            self.states.pop(stream, None)
            if state is not None:
                self.states[stream] = state
        return [record for _, record in batch.records]

    def hand_over(self, classes: tuple[str, ...] = CLASSES) -> dict[str, FrameId]:
        self.followers, newest = self._open(classes)
        return newest


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
    assert parted.events == whole.events


def test_a_new_run_counts_anew() -> None:
    stream = Stream()
    stream.put(*walk(0, 4))
    assert set(stream.states) == {"a"}
    assert ids(stream.put(*walk(0, 1, epoch=2))) == [["1", "2"]]


@pytest.mark.parametrize("cut", [None, 3, 12, 25])
def test_events_number_on_across_hand_overs_and_end_with_the_run(cut: int | None) -> None:
    stream = Stream()
    zone = Zone(name="door", points=((50, 0), (150, 0), (150, 300), (50, 300)))
    stream.places = (zone,), ()
    for record in walk(0, 60):
        if record.id.sequence == cut:
            stream.hand_over()
        stream.put(record)
    end = End("main", "a", FrameId(1, 60), NOW)
    assert stream.put(end) == [end]
    told = [(event.kind, event.object.id, event.place) for event in stream.events]
    assert told == [
        ("new", "1", ""),
        ("new", "2", ""),
        ("enter", "1", "door"),
        ("leave", "1", "door"),
        ("end", "1", ""),
        ("end", "2", ""),
    ]
    assert [event.redis_id for event in stream.events] == [f"1-{number}" for number in range(6)]


def test_the_last_event_is_known_beyond_its_run() -> None:
    stream = Stream()
    stream.put(*walk(0, 4), End("main", "a", FrameId(1, 4), NOW))
    stream.put(result(0, epoch=2))
    assert stream.hand_over() == {"a": FrameId(1, 3)}


def test_what_is_not_tracked_is_left_as_it_is_and_remembered_to_the_end_of_its_run() -> None:
    stream = Stream()
    stream.put(*walk(0, 4))
    plain = result(4, thing(10), candidates=None)
    gap = Gap("main", "a", FrameId(1, 5), 6, GapReason.STALE, NOW)
    assert stream.put(plain, gap) == [plain, gap]
    rests = dict(stream.states)
    assert set(rests) == {"a"}
    stream.put(result(7, thing(10), candidates=None))
    assert stream.states == rests
    stream.put(result(0, thing(10), candidates=None, epoch=2))
    assert stream.states == {}


@pytest.mark.parametrize("handed_over", [(), (4,), (6,), (4, 6)])
def test_tracking_that_was_off_for_a_while_numbers_on(handed_over: tuple[int, ...]) -> None:
    stream = Stream()
    stream.put(*walk(0, 4))
    for number in (4, 5):
        if number in handed_over:
            stream.hand_over()
        stream.put(result(number, thing(30), candidates=None))
    if 6 in handed_over:
        stream.hand_over()
    assert ids(stream.put(*walk(6, 10))) == [["3", "4"]] * 4
    assert [(event.kind, event.object.id) for event in stream.events] == [
        *(("new", "1"), ("new", "2"), ("end", "1"), ("end", "2"), ("new", "3"), ("new", "4")),
    ]
    assert [event.redis_id for event in stream.events] == [f"1-{number}" for number in range(6)]


def test_a_stream_that_is_followed_here_is_not_resumed_from_what_was_written_before() -> None:
    stream = Stream()
    stream.put(*walk(0, 4))
    written = dict(stream.states)
    stream.put(*walk(4, 6), result(6, candidates=None))
    stream.followers.resume(0, written)
    assert ids(stream.put(*walk(7, 8))) == [["3", "4"]]


def test_a_stream_that_was_followed_elsewhere_is_resumed() -> None:
    stream = Stream()
    stream.put(*walk(0, 4), result(4, candidates=None))
    written, stream.states = stream.states, {}
    stream.hand_over()
    stream.put(result(5, candidates=None))
    stream.followers.resume(0, written)
    stream.followers.resume(1, written)  # not ours
    assert ids(stream.put(*walk(6, 7))) == [["3", "4"]]


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


def test_tracks_of_classes_that_the_model_does_not_have_end_and_numbers_go_on() -> None:
    stream = Stream()
    stream.put(*walk(0, 4))
    stream.hand_over(("cat", "person"))
    for number in range(4, 8):
        seen = stream.put(result(number, thing(30 + 5 * number)))
        assert ids(seen) == [["3"]]
    assert [(event.kind, event.object.id) for event in stream.events[2:]] == [
        *(("end", "1"), ("end", "2"), ("new", "3")),
    ]
    assert [event.redis_id for event in stream.events] == [f"1-{number}" for number in range(5)]


def test_partitions_that_were_given_up_are_forgotten() -> None:
    stream = Stream()
    stream.put(*walk(0, 4))
    stream.followers.forget([0])
    stream.followers.open(0, {})
    assert stream.put(*walk(4, 5))[0].objects[0].info == {"track": "tentative"}


def test_a_stream_that_the_ledger_forgets_is_not_followed_any_more() -> None:
    stream = Stream()
    stream.put(*walk(0, 4))
    batch = Batch(None, records=[(0, End("main", "a", FrameId(1, 4), NOW))], forgotten=[(0, "a"), (1, "a")])
    stream.followers.follow(batch)
    assert {event.kind for _, event in batch.events} == {"end"}
    assert stream.followers._partitions == {0: {}}
    assert batch.states == {(0, "a"): None}, "its record on topic state goes, too"
