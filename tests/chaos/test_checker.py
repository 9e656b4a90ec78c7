"""The checker finds what is planted, and nothing in what is right."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.chaos.checker import Verdict, check_detections, check_events, check_latest, check_redis
from tests.chaos.journal import Frame, frame_of
from tests.chaos.logs import Row

Plant = Callable[[list[Any]], None]
FRAMES = [
    *[Frame("a", 1, number) for number in range(6)],
    Frame("a", 1, 4),  # sent twice by its producer
    *[Frame("a", 2, number) for number in range(8)],
    Frame("a", 1, 9),  # of a producer that was frozen
    Frame("a", 2, 8, is_end=True),
]


def result(epoch: int, sequence: int) -> dict[str, Any]:
    return {
        "kind": "frame",
        "id": f"{epoch}-{sequence}",
        "sensorId": "a",
        "epoch": epoch,
        "sequence": sequence,
        "objects": [],
    }


def gap(epoch: int, first: int, last: int | None, reason: str) -> dict[str, Any]:
    count = None if last is None else last - first + 1
    number = f"{epoch}-{first if last is None else last}"
    return {"kind": "gap", "id": number, "sensorId": "a", "epoch": epoch} | {
        "first": first,
        "last": last,
        "count": count,
        "reason": reason,
    }


def right() -> list[Any]:
    """What a worker that makes no mistake writes for FRAMES."""
    end = {"kind": "end", "id": "2-8", "sensorId": "a", "epoch": 2, "sequence": 8}
    one = [result(1, 0), result(1, 1), gap(1, 2, 3, "stale"), result(1, 4), result(1, 5), gap(1, 6, None, "dropped")]
    return [*one, *[result(2, number) for number in range(7)], gap(2, 7, 7, "dead"), end]


def rows_of(records: list[Any]) -> list[Row]:
    return [Row(3, "a", json.dumps(record).encode(), number) for number, record in enumerate(records)]


def judged(records: list[Any], journal: list[Frame] = FRAMES) -> Verdict:
    verdict = Verdict()
    check_detections(verdict, {"a": journal}, rows_of(records))
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
    journal = [Frame("a", 1, 0), Frame("a", 2, 0), Frame("a", 2, 1), Frame("a", 3, 0)]
    verdict = judged([result(1, 0), gap(1, 1, None, reason), result(3, 0)], journal)
    assert (verdict.lost, verdict.skipped.get("passed over", 0)) == (lost, 2 - lost)


def test_a_stream_stays_on_its_partition() -> None:
    rows = rows_of(right())
    rows[3] = Row(4, "a", rows[3].value, 0)
    verdict = Verdict()
    check_detections(verdict, {"a": FRAMES}, rows)
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


@pytest.mark.parametrize(("held", "differences"), [(None, 0), (12, 0), (11, 1), (13, 1)])
def test_the_latest_result_is_the_last_one(held: int | None, differences: int) -> None:
    rows, verdict = rows_of(right()), Verdict()
    check_latest(verdict, "a", rows, None if held is None else rows[held].value)
    assert verdict.redis_differs == differences


@pytest.mark.parametrize(
    ("headers", "frame"),
    [
        ({"ce_type": b"streamer.frame.v1", "ce_epoch": b"7", "ce_sequence": b"3"}, Frame("a", 7, 3)),
        ({"ce_type": b"streamer.end.v1", "ce_epoch": b"7", "ce_sequence": b"3"}, Frame("a", 7, 3, is_end=True)),
        ({"ce_type": b"streamer.frame.v1", "ce_epoch": b"7"}, None),
        ({"ce_type": b"something.else", "ce_epoch": b"7", "ce_sequence": b"3"}, None),
        ({}, None),
    ],
)
def test_frames_are_known_by_their_headers(headers: dict[str, bytes], frame: Frame | None) -> None:
    assert frame_of(b"a", headers.items()) == frame
