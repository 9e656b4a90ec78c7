"""The pairing is the best there is, whatever the numbers; overlaps are what they are."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumers.tracking.assign import assign
from consumers.tracking.overlap import overlaps

# Few different values make ties and conflicts.
worths = st.integers(0, 4).flatmap(
    lambda rows: st.integers(0, 4).flatmap(
        lambda columns: st.lists(
            st.lists(
                st.sampled_from([-1.0, 0.0, 0.25, 0.5, 0.75]) | st.floats(-1, 1), min_size=columns, max_size=columns
            ),
            min_size=rows,
            max_size=rows,
        ).map(lambda values: np.array(values, np.float64).reshape(rows, columns))
    )
)


def best_by_trying(worth: np.ndarray) -> float:
    """By all there is to try, for each row and each set of columns that are taken already."""
    values: list[list[float]] = worth.tolist()

    @cache
    def best(row: int, taken: frozenset[int]) -> float:
        if row == len(values):
            return 0.0
        tried = [best(row + 1, taken)]
        tried += [values[row][c] + best(row + 1, taken | {c}) for c in range(len(values[row])) if c not in taken]
        return max(tried)

    return best(0, frozenset())


@settings(deadline=None)
@given(worths)
def test_no_pairing_is_worth_more(worth: np.ndarray) -> None:
    rows, columns = assign(worth)
    assert len(set(rows.tolist())) == len(rows) == len(columns) == len(set(columns.tolist()))
    assert (worth[rows, columns] > 0).all()
    assert worth[rows, columns].sum() == pytest.approx(best_by_trying(worth))


@pytest.mark.parametrize("seed", range(5))
def test_no_pairing_is_worth_more_where_all_want_the_same(seed: int) -> None:
    random = np.random.default_rng(seed)
    for _ in range(60):
        worth = random.uniform(0, 0.3, (5, 4)) + random.uniform(0, 1, 4)
        rows, columns = assign(worth)
        assert worth[rows, columns].sum() == pytest.approx(best_by_trying(worth))


@pytest.mark.parametrize(
    ("worth", "pairs"),
    [
        (np.empty((0, 3)), []),
        (np.empty((3, 0)), []),
        ([[-1.0, 0.0]], []),
        ([[0.9, 0.8], [0.8, 0.0]], [(1, 0), (0, 1)]),  # the best pair alone would leave row 1 with nothing
        ([[0.5, 0.5]], [(0, 0)]),
        ([[0.9], [0.5], [0.95]], [(2, 0)]),
    ],
)
def test_pairs(worth: object, pairs: list[tuple[int, int]]) -> None:
    assert list(zip(*(part.tolist() for part in assign(np.array(worth, np.float64))), strict=True)) == pairs


@pytest.mark.parametrize(
    ("one", "other", "margin", "expected"),
    [
        ((5, 5, 10, 10), (5, 5, 10, 10), 0, 1.0),
        ((5, 5, 10, 10), (10, 5, 10, 10), 0, 1 / 3),
        ((5, 5, 10, 10), (15, 5, 10, 10), 0, 0.0),
        ((5, 5, 10, 10), (5, 5, 4, 4), 0, 0.16),
        ((5, 5, 10, 10), (17, 5, 10, 10), 1, 0.0),
        ((5, 5, 10, 10), (17, 5, 10, 10), 4, 108 / 540),
    ],
)
def test_overlaps(one: tuple[int, ...], other: tuple[int, ...], margin: int, expected: float) -> None:
    found = overlaps(np.array([one], np.float64), np.array([other], np.float64), np.array([float(margin)]))
    assert found == pytest.approx(expected)


def test_overlaps_of_nothing() -> None:
    assert overlaps(np.empty((0, 4)), np.ones((2, 4)), np.empty(0)).shape == (0, 2)
    assert overlaps(np.ones((2, 4)), np.empty((0, 4))).shape == (2, 0)
