"""Which faults come."""

from collections import Counter
from itertools import islice

from tests.chaos.plan import EVERYTHING, MIX, faults, mixed


def test_every_hundred_has_the_mix_half_killed_half_frozen() -> None:
    planned = list(islice(faults(5), 200))
    for hundred in (planned[:100], planned[100:]):
        assert Counter(fault.victim for fault in hundred) == MIX
        killed = Counter(fault.victim for fault in hundred if fault.how == "kill")
        assert killed == {"worker": 30, "producer": 8, "redis": 8, "broker": 5}
    assert planned[:100] != planned[100:]


def test_a_seed_is_all_that_matters() -> None:
    for plan in (faults, mixed):
        assert list(islice(plan(5), 100)) == list(islice(plan(5), 100)) != list(islice(plan(6), 100))


def test_the_mixed_run_has_everything_before_anything_twice() -> None:
    planned = list(islice(mixed(5), 2 * len(EVERYTHING)))
    for part in (planned[: len(EVERYTHING)], planned[len(EVERYTHING) :]):
        assert sorted((fault.victim, fault.how) for fault in part) == sorted(EVERYTHING)
    without = list(islice(mixed(5, without=["camera"]), 2 * len(EVERYTHING)))
    assert {fault.victim for fault in planned} - {fault.victim for fault in without} == {"camera"}


def test_wires_are_cut_for_shorter_and_for_longer_than_a_session() -> None:
    cut = [fault.lasts_s for fault in islice(mixed(5), 4 * len(EVERYTHING)) if fault.victim == "wire"]
    assert sum(seconds < 6 for seconds in cut) == sum(seconds > 7 for seconds in cut) == 4


def test_half_of_the_frozen_members_wake_up_as_zombies() -> None:
    frozen = [fault.lasts_s for fault in islice(faults(5), 100) if fault.kind == "worker freeze"]
    assert sum(seconds < 6 for seconds in frozen) == sum(seconds > 7 for seconds in frozen) == 15
