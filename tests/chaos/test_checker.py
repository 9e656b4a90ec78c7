"""The checker finds what is planted, and nothing in what is right."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.chaos.checker import check_detections, check_events
from tests.chaos.content import check_dead, check_tracks
from tests.chaos.journal import Frame, frame_of
from tests.chaos.logs import Dead, Row
from tests.chaos.mirrored import check_keys, check_latest, check_redis
from tests.chaos.verdict import Circumstances, Definition, Verdict

Plant = Callable[[list[Any]], None]
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
SIZE = (64, 48)
EVERY, LATEST, BOUNDED = (Circumstances({"a": Definition(bound_ms)}) for bound_ms in (None, 0, 500))
FILE = Circumstances({"a": Definition(None, round_frames=4)})


def moment(epoch: int, sequence: int) -> datetime:
    """When a frame is captured: five a second."""
    return BEGAN + timedelta(minutes=epoch, seconds=sequence / 5)


def text(when: datetime) -> str:
    """As records have it."""
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def frame(epoch: int, sequence: int, is_end: bool = False) -> Frame:
    when = moment(epoch, sequence)
    offset = epoch * 100 + sequence
    timestamp_ms = round(when.timestamp() * 1000)
    return Frame("a", epoch, sequence, is_end, 3, offset, timestamp_ms, text(when), (0, 0) if is_end else SIZE)


FRAMES = [
    *[frame(1, number) for number in range(6)],
    replace(frame(1, 4), offset=106),  # sent twice by its producer
    *[frame(2, number) for number in range(8)],
    frame(1, 9),  # of a producer that was frozen
    frame(2, 8, is_end=True),
]


def result(epoch: int, sequence: int, *objects: Any) -> dict[str, Any]:
    return {
        "kind": "frame",
        "id": f"{epoch}-{sequence}",
        "timestamp": text(moment(epoch, sequence)),
        "sensorId": "a",
        "epoch": epoch,
        "sequence": sequence,
        "width": SIZE[0],
        "height": SIZE[1],
        "objects": list(objects),
    }


def thing(number: str = "", right: float = 40.0, **info: str) -> dict[str, Any]:
    box = {"leftX": 20.0, "topY": 10.0, "rightX": right, "bottomY": 30.0}
    return {"id": number, "bbox": box, "type": "thing", "confidence": 0.9, "info": info}


def gap(epoch: int, first: int, last: int | None, reason: str, after_s: float = 1) -> dict[str, Any]:
    """after_s: how long after its first frame it was recorded."""
    count = None if last is None else last - first + 1
    number = f"{epoch}-{first if last is None else last}"
    said_at = text(moment(epoch, first) + timedelta(seconds=after_s))
    return {"kind": "gap", "id": number, "timestamp": said_at, "sensorId": "a", "epoch": epoch} | {
        "first": first,
        "last": last,
        "count": count,
        "reason": reason,
    }


def end(epoch: int, sequence: int) -> dict[str, Any]:
    return {**result(epoch, sequence), "kind": "end"}


def right() -> list[Any]:
    """What a worker that makes no mistake writes for FRAMES."""
    one = [result(1, 0), result(1, 1), gap(1, 2, 3, "stale"), result(1, 4), result(1, 5), gap(1, 6, None, "dropped")]
    return [*one, *[result(2, number, thing()) for number in range(7)], gap(2, 7, 7, "dead"), end(2, 8)]


def rows_of(records: list[Any]) -> list[Row]:
    return [Row(3, "a", json.dumps(record).encode(), number) for number, record in enumerate(records)]


def judged(records: list[Any], journal: list[Frame] = FRAMES, around: Circumstances = LATEST) -> Verdict:
    verdict = Verdict()
    check_detections(verdict, {"a": journal}, rows_of(records), around)
    return verdict


def blamed(verdict: Verdict) -> dict[str, int]:
    kinds = ("lost", "doubled", "out_of_order", "wrong", "redis_differs")
    return {kind: getattr(verdict, kind) for kind in kinds if getattr(verdict, kind)}


def test_what_is_right_is_clean() -> None:
    verdict = judged(right())
    assert verdict.is_clean, verdict.findings
    assert (verdict.acknowledged, verdict.results, verdict.gaps) == (15, 11, 3)
    assert verdict.skipped == {"stale": 2, "dead": 1, "late": 1}


def swap(records: list[Any]) -> None:
    records[7], records[8] = records[8], records[7]


@pytest.mark.parametrize(
    ("plant", "expected"),
    [
        pytest.param(lambda r: r.pop(1), {"lost": 1}, id="a lost result"),
        pytest.param(lambda r: r.pop(0), {"lost": 1}, id="the first result lost"),
        pytest.param(lambda r: r.pop(-1), {"lost": 1}, id="a lost end"),
        pytest.param(lambda r: r.pop(2), {"lost": 2}, id="a lost gap"),
        # Its two frames at the end of epoch 1, and the gap that says what became of the rest.
        pytest.param(lambda r: r.__delitem__(slice(4, 6)), {"lost": 2}, id="lost at an epoch's end"),
        pytest.param(lambda r: r.__delitem__(slice(6, 15)), {"lost": 9}, id="an epoch lost"),
        pytest.param(lambda r: r.__delitem__(slice(0, 15)), {"lost": 16}, id="everything lost"),
        pytest.param(lambda r: r.insert(2, r[1]), {"doubled": 1}, id="a doubled result"),
        pytest.param(lambda r: r.append(r[-1]), {"doubled": 1}, id="a doubled end"),
        pytest.param(lambda r: r.insert(4, result(1, 3)), {"doubled": 1, "out_of_order": 1}, id="result and gap"),
        pytest.param(lambda r: r.append(r[1]), {"doubled": 1, "out_of_order": 1}, id="an old result again"),
        pytest.param(swap, {"out_of_order": 1}, id="two swapped"),
        pytest.param(lambda r: r.insert(12, r.pop(3)), {"out_of_order": 1}, id="one far behind its place"),
        pytest.param(lambda r: r[2].update(reason="dropped"), {"wrong": 1}, id="a wrong reason"),
        pytest.param(lambda r: r[2].update(reason="lost it"), {"wrong": 1}, id="no reason"),
        pytest.param(lambda r: r[2].update(count=7), {"wrong": 1}, id="a wrong count"),
        pytest.param(lambda r: r[0].update(id="1-1"), {"wrong": 1}, id="a wrong id"),
        pytest.param(lambda r: r[2].update(reason="refused"), {"wrong": 1}, id="a reason that no test gives"),
        pytest.param(lambda r: r[2].update(reason="unchanged"), {"wrong": 1}, id="unchanged without a gate"),
        pytest.param(lambda r: r[2].update(reason="expired"), {"wrong": 1}, id="expired, and still there"),
        pytest.param(lambda r: r[0].update(timestamp=r[1]["timestamp"]), {"wrong": 1}, id="another frame's time"),
        pytest.param(lambda r: r[0].update(width=65), {"wrong": 1}, id="another picture's size"),
        pytest.param(lambda r: r[6].update(objects=[thing(right=64.1)]), {"wrong": 1}, id="a box beyond the picture"),
        pytest.param(lambda r: r[6].update(candidates=[thing(right=19.9)]), {"wrong": 1}, id="a box inside out"),
        pytest.param(lambda r: r.append(result(2, 9)), {"doubled": 1, "wrong": 1}, id="a result behind the end"),
        pytest.param(lambda r: r.__setitem__(slice(12, 15), [end(2, 6)]), {"lost": 3, "wrong": 1}, id="an early end"),
        pytest.param(lambda r: r.append(result(3, 0)), {"wrong": 1}, id="an invented result"),
    ],
)
def test_planted_mistakes_are_found(plant: Plant, expected: dict[str, int]) -> None:
    records = right()
    plant(records)
    verdict = judged(records)
    assert blamed(verdict) == expected, verdict.findings
    assert verdict.findings


@pytest.mark.parametrize(("reason", "lost"), [("stale", 0), ("expired", 0), ("dropped", 2)])
def test_an_open_gap_that_passes_frames_over_reaches_to_the_next_record(reason: str, lost: int) -> None:
    journal = [frame(1, 0), frame(2, 0), frame(2, 1), frame(3, 0)]
    around = replace(LATEST, kept={3: 300})
    verdict = judged([result(1, 0), gap(1, 1, None, reason), result(3, 0)], journal, around)
    assert (verdict.lost, verdict.skipped.get("passed over", 0), verdict.wrong) == (lost, 2 - lost, 0)


def skipped(reason: str, after_s: float) -> list[Any]:
    """What is said of eight frames in two runs, of which the first run's last three and all of the second are skipped,
    and then comes a ninth.
    """
    return [result(1, 0), gap(1, 1, None, reason, after_s), result(3, 0)]


TWO_RUNS = [*[frame(1, number) for number in range(4)], *[frame(2, number) for number in range(4)], frame(3, 0)]


@pytest.mark.parametrize(
    ("reason", "after_s", "around", "wrong"),
    [
        pytest.param("stale", 100, EVERY, 1, id="stale, where every frame counts"),
        pytest.param("stale", 100, LATEST, 0, id="stale, where the newest counts"),
        pytest.param("stale", 100, BOUNDED, 0, id="older than is wanted"),
        pytest.param("stale", 60.9, BOUNDED, 1, id="the last ones not so old"),
        pytest.param("stale", 0.4, BOUNDED, 1, id="none so old"),
        pytest.param("expired", 100, replace(EVERY, kept={3: 300}), 0, id="deleted"),
        pytest.param("expired", 100, replace(EVERY, kept={3: 203}), 1, id="the last one still there"),
        pytest.param("expired", 100, EVERY, 1, id="nothing deleted"),
    ],
)
def test_reasons_are_held_against_what_was_there(
    reason: str, after_s: float, around: Circumstances, wrong: int
) -> None:
    verdict = judged(skipped(reason, after_s), TWO_RUNS, around)
    assert blamed(verdict) == ({"wrong": wrong} if wrong else {}), verdict.findings


@pytest.mark.parametrize(("gated", "wrong"), [(True, 0), (False, 1)])
def test_nothing_is_unchanged_without_a_motion_gate(gated: bool, wrong: int) -> None:
    around = Circumstances({"a": Definition(None, gated=gated)})
    verdict = judged([result(1, 0), gap(1, 1, 3, "unchanged")], TWO_RUNS[:4], around)
    assert verdict.wrong == wrong


def test_nothing_is_stale_that_is_the_newest() -> None:
    verdict = judged([result(1, 0), gap(1, 1, 3, "stale")], TWO_RUNS[:4])
    assert blamed(verdict) == {"wrong": 1}


def test_an_empty_gap_needs_a_reason_as_well() -> None:
    assert blamed(judged([result(1, 0), gap(1, 1, 3, "stale")], TWO_RUNS[:1], EVERY)) == {"wrong": 1}
    assert blamed(judged([result(1, 0), gap(1, 1, 3, "expired")], TWO_RUNS[:1])) == {"wrong": 1}
    assert blamed(judged([result(1, 0), gap(1, 1, 3, "dead")], TWO_RUNS[:1])) == {"wrong": 1}


def test_frames_behind_an_end_are_lost() -> None:
    ended = [frame(1, 0), frame(1, 1), frame(1, 2, is_end=True)]
    told = [result(1, 0), result(1, 1), end(1, 2)]
    assert judged(told, ended).is_clean
    # Once because nothing answers for each, once because it came there.
    assert blamed(judged(told, [*ended, frame(1, 2), frame(1, 3)])) == {"lost": 4}
    assert blamed(judged(told, [*ended, frame(1, 1), frame(1, 2, is_end=True)])) == {}


def test_an_end_may_not_come_before_its_run_s_last_frame() -> None:
    frames = [*[frame(1, number) for number in range(4)], frame(1, 2, is_end=True)]
    assert blamed(judged([result(1, number) for number in range(4)], frames)) == {"wrong": 1}


def rounds(*lengths: int) -> list[Frame]:
    """A file again and again."""
    return [frame(epoch, number) for epoch, length in enumerate(lengths, 1) for number in range(length)]


def told(frames: list[Frame], whole: int = 4) -> list[Any]:
    """What a worker makes of them: a round that ends without an end is a gap from there."""
    records: list[Any] = []
    for before, one in zip([None, *frames], frames, strict=False):
        if before and one.epoch != before.epoch:
            records.append(gap(before.epoch, before.sequence + 1, None, "dropped"))
        elif before and one.sequence > before.sequence + 1:
            records.append(gap(one.epoch, before.sequence + 1, one.sequence - 1, "dropped"))
        records.append(result(one.epoch, one.sequence))
    return records


@pytest.mark.parametrize(
    ("drop", "lost"),
    [
        pytest.param(slice(0, 0), 0, id="all there"),
        pytest.param(slice(5, 7), 2, id="two skipped in a round"),
        pytest.param(slice(2, 4), 2, id="two at a round's end"),
        pytest.param(slice(10, 12), 0, id="the last round is not over"),
        pytest.param(slice(9, 10), 1, id="one skipped in the last round"),
    ],
)
def test_a_file_s_rounds_are_whole(drop: slice, lost: int) -> None:
    frames = rounds(4, 4, 4)
    del frames[drop]
    verdict = judged(told(frames), frames, FILE)
    assert blamed(verdict) == ({"lost": lost} if lost else {}), verdict.findings
    assert judged(told(frames), frames, EVERY).is_clean  # a camera may drop


@pytest.mark.parametrize(("upsets", "lost"), [((), 2), ([(2, 2)], 0), ([(3, 3)], 0), ([(5, 9)], 2)])
def test_a_round_may_be_broken_off_where_two_producers_had_the_file(upsets: Any, lost: int) -> None:
    frames = rounds(4, 2, 4)
    assert judged(told(frames), frames, replace(FILE, upsets=upsets)).lost == lost


@pytest.mark.parametrize(
    ("around", "lost"),
    [(LATEST, 0), (FILE, 2), (replace(FILE, upsets=[(2, 2)]), 0), (replace(FILE, upsets=[(3, 3)]), 2)],
)
def test_what_comes_behind_a_newer_run_is_late(around: Circumstances, lost: int) -> None:
    frames = [*rounds(2, 1), frame(1, 2), frame(1, 3), *[frame(2, number) for number in range(1, 4)]]
    records = [*[result(1, n) for n in (0, 1)], gap(1, 2, None, "dropped"), *[result(2, n) for n in range(4)]]
    verdict = judged(records, frames, around)
    assert (verdict.lost, verdict.skipped) == (lost, {"late": 2})


def test_nothing_comes_out_of_order_within_a_run() -> None:
    frames = [frame(1, 0), frame(1, 2), frame(1, 1)]
    assert judged([result(1, 0), gap(1, 1, 1, "dropped"), result(1, 2)], frames).lost == 1


def test_a_stream_stays_on_its_partition() -> None:
    rows = rows_of(right())
    rows[3] = Row(4, "a", rows[3].value, 0)
    verdict = Verdict()
    check_detections(verdict, {"a": FRAMES}, rows, LATEST)
    assert blamed(verdict) == {"out_of_order": 1}


def event(number: int, epoch: int = 1) -> dict[str, Any]:
    return {"kind": "event", "id": f"{epoch}-{number}", "sensor": {"id": "a"}, "epoch": epoch, "number": number}


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ([0, 1, 2], {}),
        ([0, 2, 3], {"lost": 1}),
        ([0, 1, 1, 2], {"doubled": 1}),
        ([0, 2, 1], {"out_of_order": 1}),
    ],
)
def test_events_are_numbered_without_holes(numbers: list[int], expected: dict[str, int]) -> None:
    verdict = Verdict()
    check_events(verdict, rows_of([event(number) for number in numbers]))
    assert blamed(verdict) == expected


TRACKED = Circumstances({"a": Definition(None, tracked=True)})


def new(number: str, epoch: int = 1) -> dict[str, Any]:
    return {**event(int(number), epoch), "event": {"type": "new"}, "object": {"id": number}}


def followed(*numbers: str) -> list[Any]:
    """Results with tracks, of which each is unsure at first."""
    unsure = result(1, 0, *[thing(number, track="tentative") for number in (*numbers, "7")])
    return [unsure, *[result(1, sequence, *map(thing, numbers)) for sequence in range(1, 20)]]


@pytest.mark.parametrize(
    ("events", "around", "expected"),
    [
        pytest.param([new("0"), new("1")], TRACKED, {}, id="right"),
        pytest.param([], TRACKED, {"lost": 2}, id="no events at all"),
        pytest.param([new("0")], TRACKED, {"lost": 1}, id="one missing"),
        pytest.param([new("0"), new("1"), new("1")], TRACKED, {"doubled": 1}, id="new twice"),
        pytest.param([new("0"), new("1", epoch=2)], TRACKED, {"lost": 1}, id="of another run"),
        pytest.param([], EVERY, {}, id="not tracked"),
        pytest.param([new("0")], EVERY, {"wrong": 1}, id="not tracked, and events"),
    ],
)
def test_tracks_have_events(events: list[Any], around: Circumstances, expected: dict[str, int]) -> None:
    verdict = Verdict()
    check_tracks(verdict, rows_of(followed("0", "1")), rows_of(events), around)
    assert blamed(verdict) == expected, verdict.findings


@pytest.mark.parametrize(("results", "lost"), [(9, 0), (10, 1)])
def test_a_tracked_stream_has_tracks(results: int, lost: int) -> None:
    verdict = Verdict()
    check_tracks(verdict, rows_of([result(1, number, thing()) for number in range(results)]), [], TRACKED)
    assert verdict.lost == lost


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        pytest.param([(3, 207), (1, 5)], {}, id="right"),
        pytest.param([(1, 5)], {"lost": 1}, id="a dead frame lost"),
        pytest.param([(3, 207)], {"lost": 1}, id="a stranger's lost"),
        pytest.param([(3, 207), (3, 207), (1, 5)], {"doubled": 1}, id="a dead frame twice"),
        pytest.param([(3, 207), (1, 5), (3, 206)], {"wrong": 1}, id="one that has a result"),
    ],
)
def test_dead_frames_are_there_once(places: list[tuple[int, int]], expected: dict[str, int]) -> None:
    verdict = Verdict()
    check_dead(verdict, {"a": FRAMES}, [(1, 5)], rows_of(right()), [Dead("unreadable", *place) for place in places])
    assert blamed(verdict) == expected, verdict.findings


@pytest.mark.parametrize(
    ("key", "differences"),
    [
        ("p.detections:{main:a}", 0),
        ("p.latest:{main:a}", 0),
        ("p.events:{main:a}", 0),
        ("p.detections:{main:b}", 1),
        ("p.detections:{other:a}", 1),
        ("p.nothing:{main:a}", 1),
    ],
)
def test_redis_has_keys_of_streams_alone(key: str, differences: int) -> None:
    verdict = Verdict()
    check_keys(verdict, [key], "p.", "main", {"a"})
    assert verdict.redis_differs == differences


def mirror(first: int = 0) -> list[tuple[str, bytes]]:
    return [(row.record["id"], row.value) for row in rows_of(right())[first:]]


@pytest.mark.parametrize(
    ("plant", "differences"),
    [
        pytest.param(lambda held: None, 0, id="equal"),
        pytest.param(lambda held: held.__delitem__(slice(0, 6)), 0, id="trimmed"),
        pytest.param(lambda held: held.pop(8), 1, id="one missing"),
        pytest.param(lambda held: held.pop(-1), 1, id="the newest missing"),
        pytest.param(lambda held: held.clear(), 5, id="empty"),
        pytest.param(lambda held: held.__delitem__(slice(0, 12)), 2, id="trimmed too far"),
        pytest.param(lambda held: held.append(("2-9", b"{}")), 1, id="one that Kafka has not"),
        pytest.param(lambda held: held.__setitem__(7, (held[7][0], held[6][1])), 1, id="another content"),
    ],
)
def test_redis_is_compared_record_for_record(plant: Plant, differences: int) -> None:
    held, verdict = mirror(), Verdict()
    plant(held)
    check_redis(verdict, "a", rows_of(right()), held, since_ms=10, most=100)
    assert verdict.redis_differs == differences, verdict.findings


def test_a_mirror_at_its_limit_need_not_hold_more() -> None:
    verdict = Verdict()
    check_redis(verdict, "a", rows_of(right()), mirror(first=11), since_ms=0, most=4)
    assert verdict.is_clean, verdict.findings


@pytest.mark.parametrize(
    ("held", "since_ms", "differences"),
    [
        pytest.param(12, 0, 0, id="the last"),
        pytest.param(11, 0, 1, id="the one before"),
        pytest.param(13, 0, 1, id="a gap"),
        pytest.param(None, 12 - 5000, 0, id="gone after silence"),
        pytest.param(None, 11 - 5000, 1, id="gone too soon"),
    ],
)
def test_the_latest_result_is_the_last_one(held: int | None, since_ms: int, differences: int) -> None:
    rows, verdict = rows_of(right()), Verdict()
    check_latest(verdict, "a", rows, None if held is None else rows[held].value, since_ms)
    assert verdict.redis_differs == differences


FRAME = {
    "ce_type": b"streamer.frame.v1",
    "ce_epoch": b"7",
    "ce_sequence": b"3",
    "ce_time": b"2026-01-01T00:00:00.000Z",
    "ce_sourcewidth": b"64",
    "ce_sourceheight": b"48",
}
END = {key: value for key, value in FRAME.items() if "source" not in key} | {"ce_type": b"streamer.end.v1"}


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (FRAME, Frame("a", 7, 3, False, 2, 9, 5, "2026-01-01T00:00:00.000Z", SIZE)),
        (END, Frame("a", 7, 3, True, 2, 9, 5, "2026-01-01T00:00:00.000Z")),
        ({**FRAME, "ce_sequence": b"-3"}, None),
        ({key: value for key, value in FRAME.items() if key != "ce_sequence"}, None),
        ({**FRAME, "ce_type": b"something.else"}, None),
        ({}, None),
    ],
)
def test_frames_are_known_by_their_headers(headers: dict[str, bytes], expected: Frame | None) -> None:
    assert frame_of(b"a", headers.items(), partition=2, offset=9, timestamp_ms=5) == expected
