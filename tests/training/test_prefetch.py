"""The next element is made while this one is used, in order, and what goes wrong comes out where it is used."""

import threading
from collections.abc import Iterator

import pytest

from engines.training.prefetch import prefetched


@pytest.mark.parametrize("ahead", [True, False])
@pytest.mark.parametrize("count", [0, 1, 5])
def test_all_come_in_order(count: int, ahead: bool) -> None:
    assert list(prefetched(iter(range(count)), ahead)) == list(range(count))


def test_the_next_is_made_while_one_is_used() -> None:
    made = threading.Event()

    def elements() -> Iterator[int]:
        yield 1
        made.set()
        yield 2

    found = prefetched(elements())
    assert next(found) == 1
    assert made.wait(10)
    assert list(found) == [2]


@pytest.mark.parametrize("ahead", [True, False])
def test_an_error_comes_after_what_was_made_before_it(ahead: bool) -> None:
    def elements() -> Iterator[int]:
        yield 1
        raise ValueError("broken")

    found = prefetched(elements(), ahead)
    assert next(found) == 1
    with pytest.raises(ValueError, match="broken"):
        next(found)
