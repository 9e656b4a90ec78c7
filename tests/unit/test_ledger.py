"""What may be committed, in which order, and what covers the frames that have no result."""

import threading
from typing import Any

import pytest

from consumers.entry import Entry
from consumers.ledger import Ledger
from consumers.positions import Position, Positions, dump_positions, load_positions, stepped_over
from streamer.records import DeadCause, Death, End, EndHeader, FrameHeader, FrameId, Gap, GapReason, Result

NOW = 1_700_000_000_000
MEMBER = "member-1"


def frame(sequence: int, epoch: int = 1, stream: str = "a") -> FrameHeader:
    return FrameHeader(stream, FrameId(epoch, sequence), NOW, sequence, 64, 48, 64, 48, (1, 0, 0, 0, 1, 0))


def end(sequence: int, epoch: int = 1, stream: str = "a", error: str = "") -> EndHeader:
    return EndHeader(stream, FrameId(epoch, sequence), NOW, error)


def result(header: FrameHeader) -> Result:
    return Result("main", header.stream, header.id, NOW, 64, 48, ())


class Log:
    """Feeds a ledger as the intake does: offsets counted up, one partition."""

    def __init__(self, positions: Positions | None = None) -> None:
        self.ledger = Ledger("main")
        self.ledger.open(0, positions or Positions({}))
        self.offset = 0

    def put(self, header: Any, stepped_over: GapReason | None = None, member: str = MEMBER) -> Entry:
        entry = Entry(0, self.offset, member, header, b"", NOW, stepped_over=stepped_over)
        self.offset += 1
        self.ledger.register(entry, NOW)
        return entry

    def done(self, header: FrameHeader, **options: Any) -> Entry:
        entry = self.put(header, **options)
        if not entry.done:
            self.ledger.finish(entry, result(header))
        return entry

    def committed(self) -> list[str]:
        batch = self.ledger.collect(NOW)
        self.ledger.settle()
        return [_short(record) for _, record in batch.records] if batch else []


def _short(record: Any) -> str:
    if isinstance(record, Gap):
        last = "end" if record.last_sequence is None else record.last_sequence
        return f"{record.stream} {record.first}..{last} {record.reason.value}"
    return f"{record.stream} {record.id}" + (" end" if isinstance(record, End) else "")


def test_pictures_behind_a_frame_that_takes_long_are_kept_of_the_dead_ones_only() -> None:
    log, kept = Log(), []
    death = Death(DeadCause.UNREADABLE, "no picture")
    for number, (outcome, dead) in enumerate([(None, None), (result(frame(1)), None), (GapReason.DEAD, death)]):
        entry = log.put(frame(number))
        entry.jpeg = b"a picture"
        if outcome is not None:
            log.ledger.finish(entry, outcome, dead=dead)
        kept.append(entry.jpeg)
    assert kept == [b"a picture", b"", b"a picture"]


def test_results_leave_in_the_order_of_the_log() -> None:
    log = Log()
    entries = [log.put(frame(n)) for n in range(3)]
    for n in (2, 1):
        log.ledger.finish(entries[n], result(frame(n)))
    assert log.committed() == []
    log.ledger.finish(entries[0], result(frame(0)))
    assert log.committed() == ["a 1-0", "a 1-1", "a 1-2"]


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([frame(0), frame(1)], ["a 1-0", "a 1-1"]),
        ([frame(0), frame(3)], ["a 1-0", "a 1-1..2 dropped", "a 1-3"]),
        ([frame(0), frame(0), frame(1), frame(0)], ["a 1-0", "a 1-1"]),
        ([frame(0), frame(0, epoch=2)], ["a 1-0", "a 1-1..end dropped", "a 2-0"]),
        ([frame(0), end(1), frame(0, epoch=2)], ["a 1-0", "a 1-1 end", "a 2-0"]),
        ([frame(0), end(4)], ["a 1-0", "a 1-1..3 dropped", "a 1-4 end"]),
        ([frame(0), end(1), frame(0), end(1)], ["a 1-0", "a 1-1 end"]),
        ([end(0, error="no such file")], ["a 1-0 end"]),
        ([frame(5)], ["a 1-0..4 expired", "a 1-5"]),
        ([frame(2, epoch=2), frame(9)], ["a 2-0..1 expired", "a 2-2"]),
        (
            [frame(0), frame(0, stream="b"), frame(2), frame(1, stream="b")],
            ["a 1-0", "b 1-0", "a 1-1..1 dropped", "a 1-2", "b 1-1"],
        ),
    ],
)
def test_every_sequence_number_is_covered_once(headers: list[Any], expected: list[str]) -> None:
    log = Log()
    for header in headers:
        if isinstance(header, EndHeader):
            log.put(header)
        else:
            log.done(header)
    assert log.committed() == expected


@pytest.mark.parametrize("ended", [True, False])
@pytest.mark.parametrize("reason", [GapReason.STALE, GapReason.EXPIRED])
def test_whole_runs_in_a_part_of_the_log_that_was_stepped_over_are_covered(ended: bool, reason: GapReason) -> None:
    log = Log()
    log.done(frame(0, epoch=10))
    if ended:
        log.put(end(1, epoch=10))
    log.done(frame(2, epoch=30), stepped_over=reason)
    missing = [f"a 11-0..end {reason.value}"] if ended else [f"a 10-1..end {reason.value}"]
    assert log.committed()[-3:] == [*missing, f"a 30-0..1 {reason.value}", "a 30-2"]


def test_a_run_right_behind_an_ended_one_leaves_no_room_for_others() -> None:
    log = Log()
    log.put(end(1, epoch=10))
    log.done(frame(1, epoch=11), stepped_over=GapReason.STALE)
    assert log.committed()[-2:] == ["a 11-0..0 stale", "a 11-1"]


@pytest.mark.parametrize("first", [None, frame(0, stream="other"), frame(3)])
@pytest.mark.parametrize("reason", [GapReason.STALE, GapReason.EXPIRED])
def test_every_stream_is_told_why_the_log_was_stepped_over(reason: GapReason, first: Any) -> None:
    """Whoever's record is the first behind it, a stranger's (None) among them."""
    log = Log()
    log.done(frame(0))
    for stream in ("b", "c"):
        log.put(end(1, epoch=10, stream=stream))
    log.committed()
    if first is None:
        log.put(None, stepped_over=reason)
    else:
        log.done(first, stepped_over=reason)
    for header in (frame(0), frame(3), frame(2, epoch=30, stream="b"), frame(0, epoch=11, stream="c")):
        log.done(header)
    why = reason.value
    expected = [f"a 1-1..2 {why}", "a 1-3", f"b 11-0..end {why}", f"b 30-0..1 {why}", "b 30-2", "c 11-0"]
    assert [row for row in log.committed() if not row.startswith("other")] == expected
    log.done(frame(5))
    assert log.committed() == ["a 1-4..4 dropped", "a 1-5"]


def test_neighbouring_gaps_of_one_reason_are_one_record() -> None:
    log = Log()
    for n in range(6):
        entry = log.put(frame(n))
        if n in (1, 2, 3):
            log.ledger.finish(entry, GapReason.STALE)
        elif n == 4:
            log.ledger.finish(entry, GapReason.DEAD, "no JPEG", Death(DeadCause.UNREADABLE, "no JPEG"))
        else:
            log.ledger.finish(entry, result(frame(n)))
    batch = log.ledger.collect(NOW)
    assert batch is not None
    assert [_short(record) for _, record in batch.records] == ["a 1-0", "a 1-1..3 stale", "a 1-4..4 dead", "a 1-5"]
    assert [entry.offset for entry in batch.dead] == [4]
    assert batch.offsets[0][0] == 6


def test_a_gap_is_as_young_as_what_it_says_of_any_of_its_frames() -> None:
    log = Log()
    log.done(frame(0))
    waiting = log.put(frame(1))
    log.done(frame(3), stepped_over=GapReason.STALE)
    log.ledger.finish(waiting, GapReason.STALE)
    batch = log.ledger.collect(NOW + 5_000)
    assert batch is not None
    gap = next(record for _, record in batch.records if isinstance(record, Gap))
    assert _short(gap) == "a 1-1..2 stale"
    assert gap.recorded_ms == NOW + 5_000


def test_a_batch_whose_partition_is_given_up_while_it_is_being_committed_is_abandoned() -> None:
    log = Log()
    log.done(frame(0))
    batch = log.ledger.collect(NOW)
    assert batch is not None
    assert not log.ledger.close([0], timeout_s=0)
    assert all(entry.abandoned for entry in batch.entries)
    log.ledger.settle()
    assert log.committed() == []
    assert not log.ledger.owns(0)


def test_giving_up_forgets_what_no_lane_has_begun() -> None:
    log = Log()
    log.done(frame(0))
    begun = log.put(frame(1))
    begun.taken = True
    waiting, behind = log.put(frame(2)), log.done(frame(3))
    assert not log.ledger.close([0], timeout_s=0)
    assert waiting.abandoned
    assert behind.abandoned


def test_positions_travel_in_the_offset_and_a_successor_goes_on_from_them() -> None:
    log = Log()
    log.done(frame(0))
    log.done(frame(1))
    log.done(frame(0, stream="b"))
    log.put(end(1, stream="b"))
    batch = log.ledger.collect(NOW)
    assert batch is not None
    restored = load_positions(batch.offsets[0][1])
    assert restored.streams == {"a": Position(FrameId(1, 2)), "b": Position(FrameId(1, 1), ended=True)}
    successor = Log(restored)
    for header in (frame(1), frame(2), frame(0, stream="b"), frame(0, epoch=2, stream="b")):
        successor.done(header)
    assert successor.committed() == ["a 1-2", "b 2-0"]


@pytest.mark.parametrize("reason", [GapReason.STALE, GapReason.EXPIRED])
def test_a_successor_knows_why_the_log_was_stepped_over(reason: GapReason) -> None:
    """Some streams have had no record since: neither a hole of theirs nor whole runs are forgotten."""
    log = Log()
    log.done(frame(0))
    log.put(end(1, epoch=10, stream="b"))
    log.done(frame(0, stream="c"))
    log.done(frame(4, stream="c"), stepped_over=reason)
    batch = log.ledger.collect(NOW)
    assert batch is not None
    for _ in range(2):  # also the next one, if the first has nothing to do with them
        log = Log(load_positions(batch.offsets[0][1]))
        log.done(frame(5, stream="c"))
        batch = log.ledger.collect(NOW)
        assert batch is not None
    log = Log(load_positions(batch.offsets[0][1]))
    for header in (frame(3), frame(0, epoch=30, stream="b"), frame(9, stream="c"), frame(5)):
        log.done(header)
    why = reason.value
    expected = [f"a 1-1..2 {why}", "a 1-3", f"b 11-0..end {why}", "b 30-0", "c 1-6..8 dropped", "c 1-9"]
    assert log.committed() == [*expected, "a 1-4..4 dropped", "a 1-5"]


def test_a_part_that_was_not_read_is_remembered_of_the_streams_there_is_room_for() -> None:
    streams = {f"a-rather-long-name-of-a-camera-{n:04d}": Position(FrameId(NOW, n)) for n in range(100)}
    streams = stepped_over(streams, GapReason.STALE) | {"moved": Position(FrameId(1, 1))}
    text = dump_positions(streams)
    restored = load_positions(text).streams
    assert len(text) <= 4096
    assert [restored.pop("moved").unread, *{position.unread for position in restored.values()}] == [None, "stale"]


def test_a_successor_knows_which_streams_have_a_state() -> None:
    """Those whose last result was tracked, whatever came behind it."""
    log = Log()
    for stream, outcome in (
        ("plain", Result("main", "plain", FrameId(1, 0), NOW, 64, 48, ())),
        ("tracked", Result("main", "tracked", FrameId(1, 0), NOW, 64, 48, (), candidates=())),
        ("refused", GapReason.REFUSED),
    ):
        log.ledger.finish(log.put(frame(0, stream=stream)), outcome)
    log.put(end(1, stream="tracked"))
    batch = log.ledger.collect(NOW)
    assert batch is not None
    restored = load_positions(batch.offsets[0][1])
    assert {name: position.has_state for name, position in restored.streams.items()} == {
        "plain": False,
        "refused": False,
        "tracked": True,
    }
    successor = Log(restored)
    for stream in ("refused", "tracked"):
        successor.ledger.finish(successor.put(frame(0, epoch=2, stream=stream)), GapReason.REFUSED)
    batch = successor.ledger.collect(NOW)
    assert batch is not None
    restored = load_positions(batch.offsets[0][1])
    assert [name for name, position in restored.streams.items() if position.has_state] == ["tracked"]


def test_a_stream_that_is_no_longer_tracked_has_a_state_until_its_run_is_over() -> None:
    log, kept = Log(), []
    for number, candidates in ((0, ()), (1, None)):
        result = Result("main", "s", FrameId(1, number), NOW, 64, 48, (), candidates=candidates)
        log.ledger.finish(log.put(frame(number, stream="s")), result)
    log.ledger.collect(NOW)
    kept.append(log.ledger.with_state(0))
    log.ledger.settle()
    log.ledger.finish(log.put(frame(0, epoch=2, stream="s")), Result("main", "s", FrameId(2, 0), NOW, 64, 48, ()))
    log.ledger.collect(NOW)
    kept.append(log.ledger.with_state(0))
    assert kept == [{"s"}, set()]


def test_positions_of_an_older_version_say_nothing_about_states() -> None:
    restored = load_positions('{"v": 1, "complete": true, "streams": {"a": [1, 2, 0], "b": [1, 2, 1]}}')
    assert all(position.has_state for position in restored.streams.values())


def test_frames_of_another_membership_wait_for_a_transaction_of_their_own() -> None:
    log = Log()
    log.done(frame(0))
    log.done(frame(1), member="member-2")
    assert log.committed() == ["a 1-0"]
    assert log.committed() == ["a 1-1"]


def test_too_many_streams_keep_those_that_moved_last() -> None:
    streams = {f"a-rather-long-name-of-a-camera-{n:04d}": Position(FrameId(NOW, n)) for n in range(500)}
    text = dump_positions(streams)
    restored = load_positions(text)
    assert len(text) <= 4096
    assert not restored.complete
    assert list(restored.streams) == list(streams)[-len(restored.streams) :]
    log = Log(restored)
    log.done(frame(7, stream="one-that-was-left-out"))
    assert log.committed() == ["one-that-was-left-out 1-7"]  # rather than a gap over what may have results


def test_of_any_number_of_streams_only_what_there_is_room_for_is_looked_at() -> None:
    streams = {f"camera-{n}": Position(FrameId(NOW, n)) for n in range(50_000)}
    few = dict(list(streams.items())[-500:])
    assert dump_positions(streams) == dump_positions(few)


def test_a_worker_that_sees_new_names_for_ever_forgets_those_that_ended_longest_ago() -> None:
    log = Log()
    log.done(frame(0, stream="lives"))
    told: list[tuple[int, str]] = []
    for number in range(10_000):
        log.put(end(0, epoch=number + 1, stream=f"run-{number}"))
        if number % 100 == 0:
            batch = log.ledger.collect(NOW)
            assert batch is not None
            told += batch.forgotten
            log.ledger.settle()
    log.committed()
    known = log.ledger._partitions[0]
    assert len(known.seen) == len(known.committed) <= 2000
    assert told == [(0, f"run-{number}") for number in range(len(told))]
    assert len(told) == 10_001 - len(known.seen)
    log.done(frame(3, stream="lives"))
    log.put(end(0, epoch=9_999, stream="run-9998"))  # a repeat
    log.done(frame(2, epoch=20_000, stream="new"))
    log.done(frame(2, epoch=3, stream="run-2"))  # nobody knows what of it is done
    expected = ["lives 1-1..2 dropped", "lives 1-3", "new 20000-0..1 expired", "new 20000-2", "run-2 3-2"]
    assert log.committed() == expected


@pytest.mark.parametrize("text", [None, "", "x", "{}", '{"streams": {"a": 3}}', "[]", '{"streams": {"a": ["x"]}}'])
def test_foreign_metadata_is_nothing_known(text: str | None) -> None:
    assert load_positions(text).streams == {}


def test_what_is_waited_for_is_urgent_until_it_is_collected() -> None:
    log = Log()
    patient = log.put(frame(0))
    patient.patient = True
    live = log.put(frame(0, stream="live"))
    assert not log.ledger.urgent.is_set()

    log.ledger.finish(live, result(frame(0, stream="live")))
    assert log.ledger.urgent.is_set()
    assert log.committed() == []
    assert log.ledger.urgent.is_set(), "still waiting, behind one that nobody waits for"

    log.ledger.finish(patient, result(frame(0)))
    assert log.committed() == ["a 1-0", "live 1-0"]
    assert not log.ledger.urgent.is_set()


def test_nothing_is_put_off_while_a_partition_is_given_up() -> None:
    log = Log()
    entry = log.put(frame(0))
    entry.patient = True
    log.ledger.finish(entry, result(frame(0)))
    assert not log.ledger.urgent.is_set()
    log.ledger.close({0}, 0)
    assert log.ledger.urgent.is_set()
    assert log.ledger.pressing.is_set()


def test_what_a_lane_ends_while_its_partition_is_given_up_is_urgent() -> None:
    """Who takes the partition over waits for it, even if nobody waits for the result."""
    log = Log()
    first, second = log.put(frame(0)), log.put(frame(1))
    for entry in (first, second):
        entry.patient = entry.taken = True
    log.ledger.finish(first, result(frame(0)))
    closing = threading.Thread(target=log.ledger.close, args=([0], 30))
    closing.start()
    assert log.ledger.urgent.wait(30)
    assert log.committed() == ["a 1-0"]
    log.ledger.finish(second, result(frame(1)))
    assert log.ledger.urgent.is_set()
    assert log.ledger.pressing.is_set()
    assert log.committed() == ["a 1-1"]
    closing.join(30)
    assert not closing.is_alive()


def test_a_transaction_has_its_fill_whatever_the_partitions_hold_and_they_take_turns() -> None:
    ledger = Ledger("main")
    for partition in (0, 1):
        ledger.open(partition, Positions({}))
    for partition, count in ((0, 7), (1, 2)):
        for number in range(count):
            entry = Entry(partition, number, MEMBER, frame(number, stream=f"s{partition}"), b"", NOW, patient=True)
            ledger.register(entry, NOW)
            ledger.finish(entry, result(frame(number, stream=f"s{partition}")))
    collected, pressing = [], []
    while batch := ledger.collect(NOW, limit=3):
        collected.append([entry.partition for entry in batch.entries])
        pressing.append(ledger.pressing.is_set() and ledger.urgent.is_set())
        ledger.settle()
    assert collected == [[0, 0, 0], [1, 1, 0], [0, 0, 0]]
    assert pressing == [True] * 3
    assert not ledger.pressing.is_set()


def test_no_more_frames_come_while_too_many_are_not_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consumers.ledger._MOST", 3)
    log = Log()
    for number in range(3):
        assert log.ledger.wait_for_room(0)
        log.done(frame(number))
    assert not log.ledger.wait_for_room(0)
    assert log.ledger.pressing.is_set()
    assert log.committed() == ["a 1-0", "a 1-1", "a 1-2"]
    assert not log.ledger.pressing.is_set()
    assert log.ledger.wait_for_room(0)


def test_who_waits_for_room_goes_on_when_the_partitions_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consumers.ledger._MOST", 1)
    log = Log()
    log.put(frame(0)).taken = True
    closing = threading.Thread(target=log.ledger.close, args=([0], 0))
    closing.start()
    assert log.ledger.wait_for_room(30)
    closing.join(30)
    assert not closing.is_alive()
