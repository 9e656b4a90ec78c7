"""Which faults come."""

from collections import Counter
from itertools import islice

from tests.chaos.plan import MIX, faults


def test_every_hundred_has_the_mix_half_killed_half_frozen() -> None:
    planned = list(islice(faults(5), 200))
    for hundred in (planned[:100], planned[100:]):
        assert Counter(fault.victim for fault in hundred) == MIX
        killed = Counter(fault.victim for fault in hundred if fault.frozen_s is None)
        assert killed == {"worker": 30, "producer": 8, "redis": 8, "broker": 5}
    assert planned[:100] != planned[100:]


def test_a_seed_is_all_that_matters() -> None:
    assert list(islice(faults(5), 100)) == list(islice(faults(5), 100)) != list(islice(faults(6), 100))


def test_half_of_the_frozen_members_wake_up_as_zombies() -> None:
    frozen = [fault.frozen_s for fault in islice(faults(5), 100) if fault.victim == "worker" and fault.frozen_s]
    assert sum(seconds < 6 for seconds in frozen) == sum(seconds > 7 for seconds in frozen) == 15
