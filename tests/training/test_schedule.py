"""What changes over a training, by tables."""

import pytest

from engines.training.schedule import LAST_RATE, Schedule

TEN = Schedule(epochs=10, steps=100, rate=0.1, warm_up=50, sizes=(192, 256, 320))


def test_sizes_rise_and_end_with_the_last() -> None:
    assert [TEN.size_at(epoch) for epoch in range(10)] == [192] * 3 + [256] * 3 + [320] * 4


@pytest.mark.parametrize(
    ("epochs", "sizes", "wanted"),
    [
        (1, (192, 256, 320), [320]),
        (2, (192, 256, 320), [192, 320]),
        (4, (320,), [320] * 4),
        (4, (256, 320), [256] * 2 + [320] * 2),
    ],
)
def test_sizes_of_short_trainings(epochs: int, sizes: tuple[int, ...], wanted: list[int]) -> None:
    schedule = Schedule(epochs, 10, 0.1, 5, sizes)
    assert [schedule.size_at(epoch) for epoch in range(epochs)] == wanted


def test_the_last_epochs_show_pictures_as_they_will_be() -> None:
    assert [TEN.mosaic_at(epoch) for epoch in range(10)] == [True] * 8 + [False] * 2


@pytest.mark.parametrize(
    ("epoch", "step", "rate"),
    [
        (0, 0, 0.002),
        (0, 24, 0.05),
        (0, 49, 0.1),
        (0, 50, 0.1),
        (5, 25, 0.1 * (1 + LAST_RATE) / 2),
        (10, 0, 0.1 * LAST_RATE),
    ],
)
def test_the_rate_rises_in_a_line_and_falls_in_a_cosine(epoch: int, step: int, rate: float) -> None:
    assert TEN.rate_at(epoch, step) == pytest.approx(rate)


def test_work_is_counted_in_pixels() -> None:
    assert TEN.work_until(0) == 0
    assert TEN.work_until(3, 10) == 300 * 192**2 + 10 * 256**2
    assert TEN.work_until(10) == 100 * (3 * 192**2 + 3 * 256**2 + 4 * 320**2)
