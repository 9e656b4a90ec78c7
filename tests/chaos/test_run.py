"""The run itself: what it breaks with real processes, and what its report makes of what came of it."""

from itertools import islice
from pathlib import Path

import pytest

from streamer.settings import Settings
from tests.chaos.inflict import Recovery
from tests.chaos.plan import Fault, mixed
from tests.chaos.run import report, run
from tests.chaos.staging import CLOCKS, scene
from tests.chaos.strange import AGES_MS
from tests.chaos.supervised import Supervised
from tests.chaos.verdict import Verdict
from tests.waiting import eventually

SEED = 3
MISTAKES = ("lost", "doubled", "out_of_order", "wrong", "redis_differs", "not_recovered", "ended_by_themselves")
KINDS = ("worker kill", "redis freeze", "frames garbage", "clock jump")


def short(fault: Fault) -> Fault:
    """The same, without waiting for more than it has to: that a worker has something to do when it is killed."""
    settled = fault.victim == "worker"
    return Fault(fault.victim, fault.how, fault.choice, min(fault.lasts_s, 1.5), settled, pause_s=0)


def test_nothing_is_lost_or_doubled_whatever_is_broken(settings: Settings, tmp_path: Path) -> None:
    planned = [short(fault) for fault in islice(mixed(SEED), 16) if fault.kind in KINDS]
    lines: list[str] = []
    with scene(tmp_path, count=4, everything=True, kafka=settings) as stage:
        found = run(stage, SEED, planned, None, lines.append)
    # A busy machine may take longer than is promised; everything else must be right there, too.
    assert not {name: found[name] for name in MISTAKES if found[name]}, found["findings"]
    assert found["ok"] is not bool(found["late"])
    assert found["faults"] == dict.fromkeys(sorted(KINDS), 1)
    assert len(lines) == 1 + len(KINDS)
    # It was really done, each of it:
    workers = [process for process in stage.retired if process.name.startswith("worker")]
    assert sorted(process.starts for process in workers) == [1, 2]
    assert [one["away_s"] >= 1 for one in found["each"] if one["kind"] == "redis freeze"] == [True]
    assert found["skipped"]["dead"] == 5
    assert {len(stage.journal.frames[stream]) for stream in CLOCKS} == {len(AGES_MS) + 1}
    # Each stream was seen again after each fault, so there are some of all of them.
    assert found["acknowledged"] > 50
    assert found["results"] > 50
    assert found["gaps"] > 0
    assert found["events"] > 0
    assert sum(found["skipped"].values()) + found["results"] == found["acknowledged"]
    assert stage.acknowledged.counts.keys() == set(stage.streams)


def recovery(kind: str, seconds: float | None) -> Recovery:
    return Recovery("12:00:00", kind, kind.partition(" ")[0], 0.0, seconds, seconds)


def test_the_report_of_a_good_run_is_ok() -> None:
    found = report(1, [recovery("worker kill", 6.0), recovery("redis freeze", 20.0)], Verdict(results=9), {}, {})
    assert found["ok"]
    assert found["faults"] == {"worker kill": 1, "redis freeze": 1}
    assert found["recovery_s"]["worker kill"] == {"p50": 6.0, "p95": 6.0, "worst": 6.0, "measured": 1}


@pytest.mark.parametrize("kind", ["lost", "doubled", "out_of_order", "wrong", "redis_differs"])
def test_one_mistake_is_enough(kind: str) -> None:
    assert not report(1, [], Verdict(**{kind: 1}), {}, {})["ok"]


@pytest.mark.parametrize(("kind", "seconds"), [("worker kill", 10.1), ("broker freeze", 10.1), ("redis kill", None)])
def test_a_recovery_that_takes_too_long_is_enough(kind: str, seconds: float | None) -> None:
    assert not report(1, [recovery(kind, seconds)], Verdict(), {}, {})["ok"]


def test_a_process_that_ends_by_itself_is_enough() -> None:
    assert not report(1, [], Verdict(), {"worker-1": [1]}, {})["ok"]
    assert report(1, [], Verdict(), {}, {"worker-1": [3]})["ok"]  # it found nobody to talk to


@pytest.mark.parametrize(
    ("program", "status"), [("raise SystemExit(7)", 7), ("import os; os.kill(os.getpid(), 11)", -11)]
)
def test_an_end_that_nobody_asked_for_is_noted(tmp_path: Path, program: str, status: int) -> None:
    crashing = Supervised("worker-0", ["python3", "-c", program], tmp_path)
    crashing.start()
    eventually(lambda: not crashing.runs, "it has ended")
    crashing.kill()
    assert [end.status for end in crashing.ended] == [status]


def test_an_end_that_was_asked_for_must_be_a_clean_one(tmp_path: Path) -> None:
    told = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit({})); "
    waits = told + "print(1, flush=True); time.sleep(60)"
    for status, noted in ((0, []), (5, [5])):
        process = Supervised("worker-0", ["python3", "-c", waits.format(status)], tmp_path)
        process.start()
        eventually(lambda: (tmp_path / "console.log").read_text(), "it listens")
        process.retire()
        assert [end.status for end in process.ended] == noted
    killed = Supervised("worker-0", ["python3", "-c", "import time; time.sleep(60)"], tmp_path)
    killed.start()
    killed.kill()
    killed.retire()
    assert killed.ended == []
