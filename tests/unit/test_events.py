"""Events: what happens at zones and lines makes one event each, by the source's time, with one id through its life."""

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumers.events import presence
from consumers.events.engine import EventEngine
from consumers.events.geometry import Polygon, crosses, side
from streamer.errors import RecordError
from streamer.records import BBox, DetectedObject, Direction, Event, EventKind, FrameId
from streamer.records.stream import Line, Zone

EPOCH, FPS = 1_700_000_000_000, 10
YARD = Zone(name="yard", points=((100, 0), (200, 0), (200, 300), (100, 300)), margin=0.1, min_s=0.5)
DOOR = Line(name="door", start=(150, 0), end=(150, 300), margin=0.1, min_s=0.2)
NEW, UPDATE, END, ENTER, DWELL, LEAVE, CROSS = EventKind
Path = Callable[[float], tuple[float, float] | None]  # where an object's foot is; None: not seen


def thing(track: str, x: float, y: float, kind: str = "person") -> DetectedObject:
    """40 x 100 pixels, so that a margin of 0.1 is 7 pixels."""
    return DetectedObject(track, BBox(x - 20, y - 100, x + 20, y), kind, 0.9)


class Story:
    """Plays paths to an engine, 10 frames a second of source time."""

    def __init__(self, *places: Zone | Line) -> None:
        zones = [place for place in places if isinstance(place, Zone)]
        lines = [place for place in places if isinstance(place, Line)]
        self.engine = EventEngine("main", "gate", zones, lines)
        self.frame = 0
        self.events: list[Event] = []

    def play(self, until: float, *paths: Path, kind: str = "person") -> "Story":
        while self.frame < round(until * FPS):
            places = {str(number): path(self.frame / FPS) for number, path in enumerate(paths, 1)}
            self.step([thing(track, *place, kind) for track, place in places.items() if place])
        return self

    def step(self, objects: Sequence[DetectedObject], ended: Iterable[str] = ()) -> list[Event]:
        seconds = self.frame / FPS
        frame = FrameId(EPOCH, self.frame)
        self.events += self.engine.update(frame, EPOCH + round(seconds * 1000), seconds, objects, ended)
        self.frame += 1
        return self.events

    def end(self, *tracks: str) -> "Story":
        self.step([], tracks)
        return self

    def of(self, *kinds: EventKind) -> list[Event]:
        return [event for event in self.events if event.kind in kinds]

    def told(self, *kinds: EventKind) -> list[tuple[EventKind, float]]:
        """Events of places, and up to when they have come, in seconds."""
        kinds = kinds or (ENTER, DWELL, LEAVE, CROSS)
        return [(event.kind, (event.ended_ms - EPOCH) / 1000) for event in self.of(*kinds)]


def walk(start: float, speed: float, y: float = 200) -> Path:
    return lambda time: (start + speed * time, y)


def trembling(path: Path, by: float) -> Path:
    """To and fro by so many pixels, frame by frame."""

    def trembled(time: float) -> tuple[float, float] | None:
        place = path(time)
        return place and (place[0] + by * (-1) ** round(time * FPS), place[1])

    return trembled


def seen(path: Path, begin: float, end: float) -> Path:
    return lambda time: path(time) if begin <= time < end else None


def test_enter_dwell_and_leave_at_their_times() -> None:
    story = Story(YARD.model_copy(update={"dwell_s": 2.0})).play(10, walk(0, 30)).end("1")
    # In at 107 pixels, out at 207: clear of the border by 7; frames at tenths of a second.
    assert story.told() == [(ENTER, 3.6), (DWELL, 5.6), (LEAVE, 6.9)]
    enter, dwell, leave = story.of(ENTER, DWELL, LEAVE)
    assert enter.life == dwell.life == leave.life == enter.redis_id
    assert enter.place == dwell.place == leave.place == "yard"
    assert dwell.seconds == pytest.approx(2.0)
    assert leave.seconds == pytest.approx((leave.ended_ms - enter.began_ms) / 1000)
    assert (leave.began_ms, leave.object.id) == (enter.began_ms, "1")
    assert [dict(event.counts) for event in (enter, dwell, leave)] == [
        {"inside": 1, "entered": 1},
        {"inside": 1, "entered": 1},
        {"inside": 0, "entered": 1},
    ]


@pytest.mark.parametrize("margin_s", [(0.1, 0.0), (0.0, 0.5), (0.1, 0.5)])
def test_trembling_on_a_border_makes_one_event(margin_s: tuple[float, float]) -> None:
    margin, min_s = margin_s
    zone = YARD.model_copy(update={"margin": margin, "min_s": min_s})
    line = DOOR.model_copy(update={"margin": margin, "min_s": min_s})
    # Slowly over the border: for seconds, the point is now here, now there.
    story = Story(zone, line).play(40, trembling(walk(80, 2), 6))
    assert [kind for kind, _ in story.told()] == [ENTER, CROSS]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        pytest.param(walk(0, 0), [], id="stands outside"),
        pytest.param(walk(150, 0), [ENTER], id="appears inside"),
        pytest.param(walk(101, 0), [ENTER], id="appears inside, at the border"),
        pytest.param(walk(99, 0), [], id="appears outside, at the border"),
        pytest.param(lambda time: (98, 200) if time < 1 else (103, 200), [], id="steps on the border"),
        pytest.param(lambda time: (150, 200) if 1 < time < 1.4 else (50, 200), [], id="for less than the least time"),
        pytest.param(lambda time: (50, 200) if 1 < time < 1.4 else (150, 200), [ENTER], id="out for less than that"),
        pytest.param(seen(walk(150, 0), 0, 2), [ENTER], id="lost inside"),
        pytest.param(lambda time: None if 1 < time < 3 else (150, 200), [ENTER], id="hidden inside for a while"),
        pytest.param(walk(0, 60), [ENTER, LEAVE], id="through"),
        pytest.param(lambda time: (150 if time % 2 < 1 else 50, 200), [ENTER, LEAVE] * 2 + [ENTER], id="in and out"),
    ],
)
def test_zones(path: Path, expected: list[EventKind]) -> None:
    assert [kind for kind, _ in Story(YARD).play(5, path).told()] == expected


def test_who_is_lost_inside_left_when_seen_last() -> None:
    story = Story(YARD).play(2, walk(150, 0)).play(5, lambda time: None).end("1")
    assert story.told() == [(ENTER, 0.0), (LEAVE, 1.9)]
    assert story.told(END) == [(END, 1.9)]
    assert story.of(LEAVE)[0].seconds == pytest.approx(1.9)


def test_who_is_lost_just_outside_left_at_the_border() -> None:
    story = Story(YARD).play(2, walk(150, 0)).play(2.3, walk(250, 0)).end("1")
    assert story.told() == [(ENTER, 0.0), (LEAVE, 2.0)]


def test_each_visit_has_an_id_of_its_own_and_counts_tell_who_is_inside() -> None:
    story = Story(YARD).play(5, walk(150, 0), lambda time: (150 if time % 2 < 1 else 50, 200))
    enters, leaves = story.of(ENTER), story.of(LEAVE)
    assert len({event.life for event in enters}) == len(enters) == 4
    assert {event.life for event in leaves} < {event.life for event in enters}
    assert [event.counts["inside"] for event in story.of(ENTER, LEAVE)] == [1, 2, 1, 2, 1, 2]
    assert enters[-1].counts["entered"] == 4


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        pytest.param(walk(0, 60), "left", id="towards larger x"),
        pytest.param(walk(300, -60), "right", id="towards smaller x"),
        pytest.param(walk(0, 60, y=400), "", id="past its end"),
        pytest.param(walk(0, 0), "", id="stays on one side"),
        pytest.param(
            lambda time: (140 + 20 * (time > 3), 100 + 290 * (time > 1)), "", id="along it, then around its end"
        ),
        pytest.param(lambda time: (150 + 100 * np.sin(time * 2), 200), "right left right", id="to and fro"),
        pytest.param(lambda time: (152, 200) if time < 1 else (140, 200), "", id="appears on it"),
        pytest.param(lambda time: (170, 200) if time == 1 else (130, 200), "", id="a box that jumps once"),
        pytest.param(lambda time: None if 1 < time < 2 else (100 * time, 200), "left", id="hidden on it"),
        pytest.param(seen(walk(0, 60), 0, 2.8), "left", id="gone just behind it"),
    ],
)
def test_lines(path: Path, expected: str) -> None:
    story = Story(DOOR).play(5, path).end("1")
    events = story.of(CROSS)
    assert [event.direction for event in events] == expected.split()
    assert len({event.life for event in events}) == len(events)
    if events:
        assert events[-1].counts == {name: expected.split().count(name) for name in Direction}


def test_a_crossing_has_the_time_at_which_it_happened() -> None:
    story = Story(DOOR.model_copy(update={"min_s": 1.0})).play(5, walk(0, 60))
    assert story.told() == [(CROSS, 2.7)]
    assert story.of(CROSS)[0].frame.sequence == 37


@pytest.mark.parametrize(("anchor", "expected"), [("bottom", [ENTER]), ("centre", [])])
def test_which_point_of_a_box_counts(anchor: str, expected: list[EventKind]) -> None:
    floor = Zone.model_validate(
        {"name": "floor", "points": [(0, 180), (300, 180), (300, 300), (0, 300)], "anchor": anchor}
    )
    assert [kind for kind, _ in Story(floor).play(2, walk(150, 0, y=220)).told()] == expected


def test_classes_that_do_not_count() -> None:
    zone, line = (place.model_copy(update={"classes": ("person",)}) for place in (YARD, DOOR))
    assert Story(zone, line).play(5, walk(0, 60), kind="dog").told() == []


def test_an_objects_life() -> None:
    story = Story().play(25, walk(0, 10)).end("1")
    assert [(event.kind, round(event.seconds, 3)) for event in story.events] == [
        (NEW, 0), (UPDATE, 10), (UPDATE, 20), (END, 24.9)
    ]  # fmt: skip
    assert {event.life for event in story.events} == {f"{EPOCH}-0"}
    assert [event.number for event in story.events] == [0, 1, 2, 3]
    assert story.end("1", "7").told(END) == [(END, 24.9)]


def test_the_end_of_an_epoch_ends_everything() -> None:
    story = Story(YARD).play(2, walk(150, 0), walk(0, 0))
    ends = story.engine.finish()
    assert [(event.kind, event.object.id) for event in ends] == [(LEAVE, "1"), (END, "1"), (END, "2")]
    assert story.engine.finish() == []


def test_an_hours_dwell_by_the_sources_time() -> None:
    zone = YARD.model_copy(update={"dwell_s": 3600.0})
    engine = EventEngine("main", "gate", [zone])
    told = []
    for number in range(40):  # a frame each 100 s, in a few ms of our time
        seconds = number * 100.0
        if number == 20:
            engine = EventEngine.load(json.loads(json.dumps(engine.dump())), "main", "gate")
        told += engine.update(FrameId(EPOCH, number), EPOCH + number, seconds, [thing("1", 150, 200)])
    told = [event for event in told if event.kind != UPDATE]
    assert [(event.kind, event.seconds) for event in told] == [(NEW, 0), (ENTER, 0), (DWELL, 3600)]


def test_zones_that_change_while_somebody_is_inside() -> None:
    other = YARD.model_copy(update={"name": "other"})
    story = Story(YARD, other).play(2, walk(150, 0))
    wider = other.model_copy(update={"margin": 0.2})
    changed = story.engine.redefine([YARD, wider], [DOOR])
    assert [(event.kind, event.place) for event in changed] == [(LEAVE, "other")]
    story.play(4, walk(150, 0)).end("1")
    assert [(event.kind, event.place) for event in story.of(ENTER, LEAVE)] == [
        (ENTER, "yard"), (ENTER, "other"), (ENTER, "other"), (LEAVE, "yard"), (LEAVE, "other")
    ]  # fmt: skip


paths = st.lists(
    st.lists(st.none() | st.tuples(st.integers(60, 240), st.integers(100, 320)), min_size=30, max_size=30),
    min_size=1,
    max_size=4,
)


@settings(deadline=None)
@given(paths, st.integers(0, 29), st.sampled_from([0.0, 0.1]), st.sampled_from([0.0, 0.3]))
def test_a_reloaded_engine_goes_on_as_if_nothing_had_been(
    paths: list[list[tuple[int, int] | None]], cut: int, margin: float, min_s: float
) -> None:
    changes = {"margin": margin, "min_s": min_s}
    places = YARD.model_copy(update={**changes, "dwell_s": 0.5}), DOOR.model_copy(update=changes)
    whole, handed = Story(*places), Story(*places)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(presence, "UPDATE_S", 1.0)
        for number in range(30):
            if number == cut:
                state = json.loads(json.dumps(handed.engine.dump()))
                handed.engine = EventEngine.load(state, "main", "gate")
                assert handed.engine.redefine(places[:1], places[1:]) == []
            objects = [thing(str(k), *path[number]) for k, path in enumerate(paths) if path[number]]
            gone = [str(k) for k, path in enumerate(paths) if not any(path[number:])]
            whole.step(objects, gone)
            handed.step(objects, gone)
    whole.events += whole.engine.finish()
    handed.events += handed.engine.finish()
    assert [event.to_json() for event in handed.events] == [event.to_json() for event in whole.events]
    check(whole.events)


def check(events: list[Event]) -> None:
    """What holds for every story that is over."""
    assert [event.number for event in events] == list(range(len(events)))
    lives: dict[str, list[EventKind]] = {}
    for event in events:
        lives.setdefault(event.life, []).append(event.kind)
        assert event.began_ms <= event.ended_ms
        assert event.seconds >= 0
    for kinds in lives.values():
        assert kinds[0] in (NEW, ENTER, CROSS)
        assert kinds == [CROSS] or kinds[-1] in (END, LEAVE)
        assert kinds[1:-1] in ([], [DWELL]) or set(kinds[1:-1]) == {UPDATE}


@pytest.mark.parametrize(
    "damage",
    [
        lambda state: state.pop("presence"),
        lambda state: state.update(version=99),
        lambda state: state["presence"][0].pop(),
        lambda state: state["zones"][0]["place"].update(points=[]),
        lambda state: state["zones"][0]["watch"].update(visits=[["1"]]),
        lambda state: state["lines"][0]["watch"].update(counts={}),
        lambda state: state.update(now=None),
    ],
)
def test_a_damaged_state_is_refused(damage: Callable[[dict[str, Any]], object]) -> None:
    state = json.loads(json.dumps(Story(YARD, DOOR).play(2, walk(140, 10)).engine.dump()))
    damage(state)
    with pytest.raises(RecordError):
        EventEngine.load(state, "main", "gate")


STAR = ((50.0, 0.0), (80, 90), (0, 35), (100, 35), (20, 90))
HOOK = ((0.0, 0.0), (100, 0), (100, 100), (60, 100), (60, 40), (0, 40))


@pytest.mark.parametrize(
    ("points", "point", "depth"),
    [
        pytest.param(HOOK, (50, 20), 20, id="inside"),
        pytest.param(HOOK, (30, 70), -30, id="in the hook's mouth"),
        pytest.param(HOOK, (80, 90), 10, id="in its end"),
        pytest.param(HOOK, (100, 50), 0, id="on an edge"),
        pytest.param(HOOK, (0, 0), 0, id="on a corner"),
        pytest.param(HOOK, (-3, -4), -5, id="off a corner"),
        pytest.param(HOOK, (-10, 40), -10, id="level with an edge"),
        pytest.param(HOOK[::-1], (50, 20), 20, id="the other way around"),
        pytest.param((*HOOK, HOOK[-1], HOOK[0]), (50, 20), 20, id="closed, with a point given twice"),
        pytest.param(STAR, (50, 50), None, id="the middle of a star, which its outline goes around twice"),
    ],
)
def test_depth_in_a_polygon(points: tuple[tuple[float, float], ...], point: tuple[float, float], depth: float) -> None:
    (found,) = Polygon(points).depth(np.array([point], np.float64))
    assert found > 0 if depth is None else found == pytest.approx(depth)


@pytest.mark.parametrize(("point", "expected"), [((10, 0), -10), ((-10, 0), 10), ((0, 500), 0)])
def test_right_is_right_for_who_looks_along_the_line(point: tuple[float, float], expected: float) -> None:
    """Down the picture: right is towards smaller x."""
    assert side((0, 0), (0, 5), np.array([point], np.float64)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ((-1, 5), (1, 5), True),
        ((-1, 0), (1, 0), True),
        ((-1, 11), (1, 11), False),
        ((-1, -1), (1, -1), False),
        ((-1, 9), (9, 30), False),
    ],
)
def test_ways_that_lead_through_a_line(before: tuple[float, float], now: tuple[float, float], expected: bool) -> None:
    assert crosses((0, 0), (0, 10), before, now) is expected


def test_no_objects_no_events() -> None:
    assert Story(YARD, DOOR).step([]) == []
    assert Polygon(YARD.points).depth(np.empty((0, 2))).shape == (0,)
