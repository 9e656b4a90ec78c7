"""What the motion gate lets pass: whatever has moved since the last look, and nothing else for a while."""

from dataclasses import replace

import numpy as np
import pytest
import simplejpeg
from numpy.typing import NDArray

from consumers.entry import Batch, Entry
from consumers.lanes.motion_gate import MotionGate, Verdict
from consumers.worker import Worker
from streamer.records import FrameHeader, FrameId
from streamer.settings import Settings

WIDTH, HEIGHT = 416, 240
FIRST = FrameHeader("gate", FrameId(1, 0), 0, 0, WIDTH, HEIGHT, WIDTH, HEIGHT, (1, 0, 0, 0, 1, 0), source_time=0.0)


def scene(thing_at: int | None = None, brighter: int = 0, noise: float = 0) -> NDArray[np.float64]:
    """A lit wall, maybe with somebody of 20 x 44 pixels in front of it."""
    picture = np.repeat(np.linspace(60, 180, WIDTH)[None], HEIGHT, axis=0) + brighter
    if thing_at is not None:
        picture[100:144, thing_at : thing_at + 20] = 40 + brighter
    return picture + np.random.default_rng(1 + brighter).normal(0, noise, picture.shape)


def frame(sequence: int, seconds: float, picture: NDArray[np.float64], **changes: object) -> tuple[FrameHeader, bytes]:
    grey = np.clip(picture, 0, 255).astype(np.uint8)
    jpeg: bytes = simplejpeg.encode_jpeg(np.repeat(grey[:, :, None], 3, axis=2), quality=90)
    header = replace(FIRST, id=FrameId(1, sequence), source_time=seconds)
    return replace(header, **changes), jpeg  # type: ignore[arg-type]


def judge(gate: MotionGate, given: tuple[FrameHeader, bytes]) -> tuple[Verdict, Entry]:
    header, jpeg = given
    entry = Entry(0, header.id.sequence, None, header, jpeg, 0)
    return gate.judge(entry, header, (WIDTH, HEIGHT), 1.0), entry


def is_still(gate: MotionGate, given: tuple[FrameHeader, bytes]) -> bool:
    """If it isn't, it is looked at, and has a result."""
    verdict, entry = judge(gate, given)
    assert gate.settle(entry, has_result=True) == []
    return verdict is Verdict.STILL


@pytest.mark.parametrize(
    ("then", "still"),
    [
        (frame(1, 0.1, scene(200)), True),
        (frame(1, 0.1, scene(200, noise=8)), True),
        (frame(1, 0.1, scene(200, brighter=25)), True),
        (frame(1, 0.1, scene(204)), False),
        (frame(1, 0.1, scene()), False),
        (frame(1, 0.99, scene(200)), True),
        (frame(1, 1.0, scene(200)), False),
        (frame(1, -0.1, scene(200)), False),
        (frame(0, 0.1, scene(200)), False),
        (frame(1, 0.1, scene(200), id=FrameId(2, 0)), False),
        (frame(1, 0.1, scene(200), matrix=(2, 0, 0, 0, 2, 0)), False),
        (frame(1, 0.1, scene(200), stream="door"), False),
    ],
    ids=[
        *("same", "noise", "exposure", "moved", "left", "nearly a second", "a second", "backwards"),
        *("again", "another run", "another crop", "another stream"),
    ],
)
def test_a_second_frame(then: tuple[FrameHeader, bytes], still: bool) -> None:
    gate = MotionGate()
    assert not is_still(gate, frame(0, 0.0, scene(200)))
    assert is_still(gate, then) is still


def test_what_moves_slowly_adds_up() -> None:
    gate = MotionGate()
    looked = [at for at in range(100) if not is_still(gate, frame(at, at / 1000, scene(200 + at // 4)))]
    steps = np.diff(looked) / 4
    assert len(looked) > 5
    assert steps.max() <= 6  # pixels, of somebody 20 wide: the box last found still overlaps by more than half


def test_an_earlier_frame_is_looked_at_and_what_was_seen_is_compared_with() -> None:
    gate = MotionGate()
    assert not is_still(gate, frame(5, 0.5, scene(200)))
    assert not is_still(gate, frame(4, 0.4, scene(200)))
    assert not is_still(gate, frame(6, 0.6, scene(260)))
    assert is_still(gate, frame(7, 0.7, scene(260)))


def test_a_damaged_picture_is_for_others_to_judge() -> None:
    header, jpeg = frame(0, 0.0, scene())
    with pytest.raises(ValueError, match=r".+"):
        judge(MotionGate(), (header, jpeg[:300]))


@pytest.mark.parametrize("has_result", [True, False])
def test_what_is_like_a_frame_without_a_result_waits_for_it(has_result: bool) -> None:
    gate = MotionGate()
    first = frame(0, 0.0, scene(200))
    verdict, entry = judge(gate, first)
    assert verdict is Verdict.LOOK
    verdict, second = judge(gate, frame(1, 0.1, scene(200)))
    assert verdict is Verdict.WAITS
    assert judge(gate, first)[0] is Verdict.LOOK  # tried again
    assert gate.settle(entry, has_result) == [second]
    expected = Verdict.STILL if has_result else Verdict.LOOK
    assert judge(gate, frame(2, 0.2, scene(200)))[0] is expected


def test_behind_a_frame_that_failed_the_last_result_stands_again() -> None:
    gate = MotionGate()
    assert not is_still(gate, frame(0, 0.0, scene(200)))
    verdict, failing = judge(gate, frame(1, 0.1, scene(260)))
    assert verdict is Verdict.LOOK
    assert gate.settle(failing, has_result=False) == []
    assert is_still(gate, frame(2, 0.2, scene(200)))
    assert not is_still(gate, frame(3, 0.3, scene(260)))


def test_a_stream_that_comes_back_is_looked_at_and_those_of_other_partitions_go_on() -> None:
    """Meanwhile others have looked: what was seen here before no longer stands."""
    gate = MotionGate()
    assert not is_still(gate, frame(0, 0.0, scene()))
    gate.forget([1])
    assert is_still(gate, frame(1, 0.1, scene()))
    gate.forget([0])
    assert not is_still(gate, frame(3, 0.3, scene()))
    assert is_still(gate, frame(4, 0.4, scene()))


def test_nothing_waits_for_a_frame_that_a_lane_begins_when_its_partition_is_gone() -> None:
    gate = MotionGate()
    header, jpeg = frame(0, 0.0, scene())
    left = Entry(0, 0, None, header, jpeg, 0, abandoned=True)
    assert gate.judge(left, header, (WIDTH, HEIGHT), 1.0) is Verdict.LOOK
    assert judge(gate, frame(1, 0.1, scene()))[0] is Verdict.LOOK


def test_what_is_still_in_the_network_when_its_partition_goes_is_no_reference() -> None:
    gate = MotionGate()
    _, left = judge(gate, frame(0, 0.0, scene()))
    left.abandoned = True
    gate.forget([0])
    verdict, again = judge(gate, frame(0, 0.0, scene()))
    assert verdict is Verdict.LOOK
    _, like = judge(gate, frame(1, 0.1, scene()))
    assert gate.settle(left, has_result=True) == []
    assert gate.settle(again, has_result=False) == [like]
    assert judge(gate, frame(2, 0.2, scene()))[0] is Verdict.LOOK


def test_streams_that_are_over_are_forgotten_one_by_one() -> None:
    gate = MotionGate()
    for stream in ("gate", "door"):
        assert not is_still(gate, frame(0, 0.0, scene(), stream=stream))
    gate.forget_streams([(0, "gate"), (1, "door"), (0, "unknown")])
    assert not is_still(gate, frame(1, 0.1, scene()))
    assert is_still(gate, frame(1, 0.1, scene(), stream="door"))


def test_a_stream_that_begins_anew_while_it_is_forgotten_leaves_nobody_waiting() -> None:
    gate = MotionGate()
    _, entry = judge(gate, frame(0, 0.0, scene()))
    verdict, like = judge(gate, frame(1, 0.1, scene()))
    assert verdict is Verdict.WAITS
    gate.forget_streams([(0, "gate")])
    assert gate.settle(entry, has_result=True) == [like]


def test_a_worker_s_gate_forgets_the_streams_that_its_ledger_forgets() -> None:
    worker = Worker(Settings(), "one")
    assert not is_still(worker._gate, frame(0, 0.0, scene()))
    worker._follow(Batch(None, forgotten=[(0, "gate")]))
    assert not is_still(worker._gate, frame(1, 0.1, scene()))
