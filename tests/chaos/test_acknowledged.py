"""What producers say was acknowledged is held against what came."""

import pytest

from tests.chaos.acknowledged import Acknowledged, check_acknowledged
from tests.chaos.journal import Frame
from tests.chaos.verdict import Verdict

FRAMES = {"a": [*[Frame("a", 1, number) for number in (0, 1, 2, 2)], Frame("a", 1, 3, is_end=True)]}


def said(**counts: int) -> str:
    lines = [f'streamer_frames_published_total{{stream="{stream}"}} {count}.0' for stream, count in counts.items()]
    return "\n".join(["# TYPE streamer_frames_published_total counter", *lines, "streamer_other 3.0", ""])


def test_lives_and_processes_are_added_up() -> None:
    counted = Acknowledged()
    counted.note("producer-0", 1, said(a=5, b=1))
    counted.note("producer-0", 1, said(a=7))
    counted.note("producer-1", 1, said(b=4))
    counted.note("producer-0", 2, said(a=2))
    assert counted.counts == {"a": 9, "b": 5}


def test_a_stream_that_was_given_up_and_taken_again_is_counted_on() -> None:
    counted = Acknowledged()
    for count in (5, 2, 3):
        counted.note("producer-0", 1, said(a=count))
    assert counted.counts == {"a": 8}


@pytest.mark.parametrize(("count", "lost"), [(3, 0), (4, 0), (6, 2)])
def test_what_is_gone_is_lost(count: int, lost: int) -> None:
    verdict = Verdict()
    check_acknowledged(verdict, {"a": count}, FRAMES)
    assert verdict.lost == lost
