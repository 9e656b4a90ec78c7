"""What counts as growth."""

import os
from dataclasses import replace

import pytest

from tests.chaos.soak import Sample, by_minute, growth, is_flat

USUAL = Sample(rss_mb=200.0, threads=12, sockets=8, files=20)


@pytest.mark.parametrize(
    ("change", "flat"),
    [
        ({}, True),
        ({"rss_mb": 209.0}, True),
        ({"rss_mb": 211.0}, False),
        ({"threads": 14}, True),
        ({"threads": 15}, False),
        ({"sockets": 11}, False),
        ({"files": 23}, False),
    ],
)
def test_the_last_window_is_set_against_the_second(change: dict[str, float], flat: bool) -> None:
    warming_up = [replace(USUAL, rss_mb=100.0, threads=3)] * 20
    steady = [USUAL] * 60
    outlier = [replace(USUAL, threads=90)]
    assert is_flat(growth(warming_up + steady + outlier + [replace(USUAL, **change)] * 19)) is flat


def test_streams_that_were_taken_over_have_threads() -> None:
    measured = growth([USUAL] * 80 + [replace(USUAL, threads=20)] * 20)
    assert not is_flat(measured)
    assert is_flat(measured, streams=8)


def test_memory_is_told_by_the_minute() -> None:
    assert by_minute([USUAL] * 30 + [replace(USUAL, rss_mb=210.0)] * 15) == [200.0, 210.0]


def test_a_process_is_looked_at() -> None:
    now = Sample.of(os.getpid())
    assert now.rss_mb > 10
    assert now.threads >= 1
    assert now.files >= 1
