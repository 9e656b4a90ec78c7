"""The best pairing of rows and columns, exactly.

SORT and ByteTrack use the Hungarian method, from SciPy (35 MB, too heavy for the base install) or `lap`. Both take a
full cost matrix. In tracking nearly every row's best column is nobody else's: then the pairing is found without any
search, and only rows in conflict are searched for, so numpy is enough: 30 x 30 takes some 20 us with no conflict and
about 15 us more per conflict. Greedy pairing would be as fast, but where two objects meet it takes the best pair
first and leaves the other one with nothing.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Places = NDArray[np.int64]
_NONE: Places = np.empty(0, np.int64)


def assign(worth: Array) -> tuple[Places, Places]:
    """Rows and their columns, each at most once, such that the sum of `worth` (N, M) is the largest possible.

    Pairs that are worth 0 or less are never made. Ties go to the lower column.

    Shortest augmenting paths on reduced costs, starting from the rows' best columns: Jonker and Volgenant 1987.
    """
    if not worth.size:
        return _NONE, _NONE
    best = worth.argmax(axis=1)
    rows = (worth[np.arange(len(worth)), best] > 0).nonzero()[0]
    numbers, best = np.arange(len(rows)), best[rows]
    row_of = np.full(worth.shape[1], -1)
    # Backwards, so that the first of several rows has the column.
    row_of[best[::-1]] = numbers[::-1]
    in_conflict = (row_of[best] != numbers).nonzero()[0]
    if not len(in_conflict):
        return rows, best
    search = _Search(-np.maximum(worth[rows], 0), row_of)
    for row in in_conflict.tolist():
        search.augment(row)
    return search.pairs(rows)


class _Search:
    """Duals and the pairing so far: cost - row_price - column_price is never negative, and 0 where paired.

    Leaving a row without a column costs 0: beside the columns there is a way out for each row, at price 0.
    """

    def __init__(self, cost: Array, row_of: Places) -> None:
        self._cost, self._row_of = cost, row_of
        self._row_price = cost.min(axis=1)
        self._column_price = np.zeros(cost.shape[1])

    def augment(self, start: int) -> None:
        """Pairs the row `start`, or the one that gives way to it at least cost."""
        price = self._column_price.copy()
        distance, before = np.full(len(price), np.inf), np.full(len(price), -1)
        done: list[tuple[int, float]] = []  # columns, and how far they are; nothing leads there any more
        row, reached, arrived = start, 0.0, -1
        out, out_from = np.inf, -1  # the cheapest way out so far, and behind which column
        while True:
            base = reached - float(self._row_price[row])
            if base < out:
                out, out_from = base, arrived
            through = self._cost[row] - price
            through += base
            nearer = through < distance
            np.copyto(distance, through, where=nearer)
            before[nearer] = arrived
            column = int(distance.argmin())
            reached = float(distance[column])
            if out <= reached:
                self._reprice(start, done, out)
                self._give_way(start, out_from, before, None)
                return
            if self._row_of[column] < 0:
                self._reprice(start, done, reached)
                self._give_way(start, int(before[column]), before, column)
                return
            done.append((column, reached))
            price[column], distance[column] = -np.inf, np.inf
            arrived, row = column, int(self._row_of[column])

    def pairs(self, rows: Places) -> tuple[Places, Places]:
        """The pairing so far, less pairs that are worth nothing. rows: what the rows here are called outside."""
        columns = (self._row_of >= 0).nonzero()[0]
        taken = self._row_of[columns]
        worthy = self._cost[taken, columns] < 0
        return rows[taken[worthy]], columns[worthy]

    def _reprice(self, start: int, done: list[tuple[int, float]], length: float) -> None:
        for column, distance in done:
            self._column_price[column] -= length - distance
            self._row_price[self._row_of[column]] += length - distance
        self._row_price[start] += length

    def _give_way(self, start: int, behind: int, before: Places, column: int | None) -> None:
        """Along the path back to `start` every row takes the next column; the last one takes `column` or none."""
        while True:
            row = start if behind < 0 else int(self._row_of[behind])
            if column is not None:
                self._row_of[column] = row
            if behind < 0:
                return
            self._row_of[behind] = -1
            column, behind = behind, int(before[behind])
