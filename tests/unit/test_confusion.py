"""Which class pictures are taken for: counts, and what is made of them."""

import math

import pytest

from engines.evaluation.confusion import confusion, per_class, rows

NAMES = ("cat", "dog", "cow")


def test_counts_and_shares() -> None:
    found = confusion([0, 0, 0, 1, 1], [0, 0, 1, 1, -1], NAMES)
    assert found.counts.tolist() == [[2, 1, 0, 0], [0, 1, 0, 1], [0, 0, 0, 0]]
    assert found.pictures == 5
    assert found.top1 == pytest.approx(3 / 5)
    assert [found.recall(kind) for kind in (0, 1)] == pytest.approx([2 / 3, 1 / 2])
    assert [found.precision(kind) for kind in (0, 1)] == pytest.approx([1, 1 / 2])
    assert math.isnan(found.recall(2))
    assert per_class(found) == [("cat", 3, "0.667", "1.000"), ("dog", 2, "0.500", "0.500"), ("cow", 0, "-", "-")]


@pytest.mark.parametrize(
    ("answers", "wanted"),
    [
        ([0, 1], [["", "cat", "dog"], ["cat", "1", "0"], ["dog", "0", "1"]]),
        ([0, -1], [["", "cat", "dog", "other"], ["cat", "1", "0", "0"], ["dog", "0", "0", "1"]]),
    ],
    ids=["all known", "one taken for something else"],
)
def test_a_table_has_a_column_for_others_only_where_there_are(answers: list[int], wanted: list[list[str]]) -> None:
    assert rows(confusion([0, 1], answers, NAMES[:2])) == wanted


def test_no_table_for_very_many_classes() -> None:
    assert rows(confusion([0], [0], [f"{number}" for number in range(17)])) == []


def test_without_pictures_there_is_no_accuracy() -> None:
    assert math.isnan(confusion([], [], NAMES).top1)


def test_an_answer_is_missing() -> None:
    with pytest.raises(ValueError, match="shorter"):
        confusion([0, 1], [0], NAMES)
