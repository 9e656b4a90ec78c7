"""The worker's lane on a simulated GPU: the CPU lane's results, dead frames, order, overlap, failures."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import astuple
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
import simplejpeg
from prometheus_client import REGISTRY

from consumers.choose import Chooser
from consumers.entry import Entry
from consumers.lanes.jpeg_lane import JpegLane
from consumers.lanes.lane import LaneThread
from consumers.lanes.make import make_lane
from consumers.lanes.motion_gate import MotionGate
from consumers.ledger import Ledger
from consumers.positions import Positions
from engines.detector import Detector
from engines.jpeg_detector import Damaged, JpegEngine
from engines.tensorrt import jpeg
from engines.tensorrt.detector import GpuDetector, on_gpu
from engines.tensorrt.engine import TensorRtEngine
from engines.tensorrt.errors import DeviceLostError, OutOfDeviceMemoryError
from streamer.moments import unix_ms
from streamer.records import FrameHeader, FrameId, GapReason, Result
from streamer.settings import DetectSettings
from tests.fakes import gpu as fake
from tests.tensorrt.rig import Rig
from tests.tensorrt.test_gpu_detector import FRAMES, network

SETTINGS = DetectSettings(batch=4, batch_wait_ms=5, tries=2)
SOURCE = (320, 240)
once = pytest.mark.parametrize("decoders", ["nvimgcodec"], indirect=True)  # where the decoder makes no difference


def entry(number: int, jpeg: bytes, size: tuple[int, int], track: bool = False) -> Entry:
    now_ms = unix_ms()
    header = FrameHeader(
        stream=f"s{number % 3}",
        id=FrameId(1, number // 3),
        captured_ms=now_ms,
        index=number,
        width=size[0],
        height=size[1],
        source_width=SOURCE[0],
        source_height=SOURCE[1],
        matrix=(SOURCE[0] / size[0], 0.0, 0.0, 0.0, SOURCE[1] / size[1], 0.0),
    )
    return Entry(0, number, None, header, jpeg, now_ms, track=track)


def entries(count: int) -> list[Entry]:
    chosen = [FRAMES[number % len(FRAMES)] for number in range(count)]
    return [entry(n, frame.jpeg, (frame.width, frame.height), n % 2 == 0) for n, frame in enumerate(chosen)]


class Harness:
    """A lane with what is around it, without Kafka."""

    def __init__(self, detector: Any, settings: DetectSettings = SETTINGS, queue: int = 1000) -> None:
        self.settings = settings.model_copy(update={"allow_upscale": True})
        self.ledger = Ledger("main")
        self.ledger.open(0, Positions({}))
        self.chooser = Chooser(queue, self.ledger.finish)
        self.detector = detector
        self.lane: LaneThread = make_lane(0, detector, self.settings, self.chooser, self.ledger, MotionGate())

    def put(self, given: list[Entry]) -> None:
        for one in given:
            assert one.header is not None
            if self.ledger.register(one, one.polled_ms):
                self.chooser.offer(one.header.stream, one, None)

    @contextmanager
    def running(self) -> Iterator[None]:
        self.lane.start()
        yield
        self.lane.stop()
        self.chooser.close()
        self.lane.join(20)
        assert not self.lane.is_alive()

    def done(self, given: list[Entry]) -> list[Entry]:
        """All of them, once they are."""
        wait_until(lambda: all(one.done for one in given) or self.lane.failed is not None)
        assert self.lane.failed is None
        return given


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def through(detector: Any, given: list[Entry], settings: DetectSettings = SETTINGS) -> list[Entry]:
    harness = Harness(detector, settings)
    harness.put(given)
    with harness.running():
        return harness.done(given)


def both(rig: Rig, folder: Path, batch: int = 4) -> tuple[Detector, GpuDetector]:
    on_cpu, for_arrays = rig.detectors(network(folder), batch, candidate_confidence=0.1)
    assert isinstance(for_arrays.engine, JpegEngine)
    whole = for_arrays.engine.jpeg_detector(for_arrays)
    assert isinstance(whole, GpuDetector)
    return on_cpu, whole


def boxes(one: Entry) -> list[tuple[Any, ...]]:
    assert isinstance(one.outcome, Result), one.outcome
    objects = (*one.outcome.objects, *(one.outcome.candidates or ()))
    return [(each.type, each.confidence, *astuple(each.bbox)) for each in objects]


@pytest.mark.parametrize("count", [1, 3, 30])
def test_results_are_the_cpu_lanes(decoders: Rig, tmp_path: Path, count: int) -> None:
    on_cpu, on_simulated = both(decoders, tmp_path)
    expected, found = through(on_cpu, entries(count)), through(on_simulated, entries(count))
    for one, other in zip(found, expected, strict=True):
        mine, theirs = boxes(one), boxes(other)
        assert mine
        assert [row[0] for row in mine] == [row[0] for row in theirs]
        np.testing.assert_allclose([row[1:] for row in mine], [row[1:] for row in theirs], rtol=1e-4, atol=1e-2)
        assert one.stages.keys() == other.stages.keys() == {"transport", "wait", "decode", "detect"}


@once
def test_the_gpus_own_times_are_on_metrics(decoders: Rig, tmp_path: Path) -> None:
    pipeline = uuid4().hex
    through(both(decoders, tmp_path)[1], entries(10), SETTINGS.model_copy(update={"pipeline": pipeline}))

    def sample(name: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(f"streamer_detect_{name}", {"pipeline": pipeline, **labels}) or 0

    assert sample("batch_frames_sum") == 10
    batches = sample("batch_frames_count")
    assert batches >= 3
    for stage in ("decode", "infer"):
        assert sample("gpu_seconds_count", stage=stage) == batches
        # The simulated clock says a millisecond, always.
        assert sample("gpu_seconds_sum", stage=stage) == pytest.approx(batches / 1000)


@once
@pytest.mark.parametrize(("best", "room"), [(16, 32), (2, 16)])
def test_so_many_frames_may_wait_that_the_largest_batch_can_be(
    decoders: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, best: int, room: int
) -> None:
    _, whole = both(decoders, tmp_path, batch=16)
    assert isinstance(whole.engine, TensorRtEngine)
    monkeypatch.setattr(whole.engine.network, "best", best)
    harness = Harness(whole, queue=1)
    *frames, last = entries(room)
    harness.put(frames)
    assert harness.chooser.wait_for_room(0)
    harness.put([last])
    assert not harness.chooser.wait_for_room(0)


@once
@pytest.mark.parametrize(("lane", "batch"), [("CPU", 4), ("JPEG", 2)])
def test_the_poller_has_a_batch_wait_for_the_lane(
    decoders: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lane: str, batch: int
) -> None:
    on_cpu, whole = both(decoders, tmp_path)
    assert isinstance(whole.engine, TensorRtEngine)
    monkeypatch.setattr(whole.engine.network, "best", 2)
    harness = Harness(on_cpu if lane == "CPU" else whole)
    *batchful, last = entries(batch + 1)
    harness.put(batchful)
    assert harness.chooser.wait_until_low(0)
    harness.put([last])
    assert not harness.chooser.wait_until_low(0)


def test_frames_that_the_cpu_decodes_for_the_gpu_are_counted(
    decoders: Rig, tmp_path: Path, caplog: pytest.LogCaptureFixture, request: pytest.FixtureRequest
) -> None:
    jpeg._say_once.cache_clear()
    pipeline = uuid4().hex
    for _ in range(2):
        through(both(decoders, tmp_path)[1], entries(10), SETTINGS.model_copy(update={"pipeline": pipeline}))
    with_codec = "nvimgcodec" in request.node.callspec.id
    counted = REGISTRY.get_sample_value("streamer_detect_decoded_by_cpu_total", {"pipeline": pipeline})
    assert counted == (4 if with_codec else 20)  # two of ten are of a width that the simulated one can't decode
    said = [record.message for record in caplog.records if "nvImageCodec can't decode some JPEGs" in record.message]
    assert len(said) == with_codec


BROKEN = {
    "empty": b"",
    "text": b"no picture",
    "cut": FRAMES[1].jpeg[:200],
    "another size": FRAMES[0].jpeg,
    "entropy": FRAMES[1].jpeg[:300] + b"\xff\xd9",
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_dead_frames_are_the_cpu_lanes(decoders: Rig, tmp_path: Path, broken: bytes) -> None:
    def given() -> list[Entry]:
        frames = entries(5)
        frames[2] = entry(2, broken, (64, 64))
        return frames

    on_cpu, on_simulated = both(decoders, tmp_path)
    expected, found = through(on_cpu, given()), through(on_simulated, given())
    assert [one.outcome is GapReason.DEAD for one in expected] == [False, False, True, False, False]
    for one, other in zip(found, expected, strict=True):
        assert type(one.outcome) is type(other.outcome)
        assert (one.detail, one.dead) == (other.detail, other.dead)


def test_a_picture_too_large_is_dead_before_memory_is_taken(decoders: Rig, tmp_path: Path) -> None:
    _, on_simulated = both(decoders, tmp_path)
    before = decoders.gpu.calls["mem_alloc"]
    [one] = through(on_simulated, entries(1), SETTINGS.model_copy(update={"max_picture_pixels": 100}))
    assert one.detail == "a JPEG of 128x96 pixels; the limit is 100"
    assert decoders.gpu.calls["mem_alloc"] == before > 0


def gated(given: list[Entry]) -> list[Entry]:
    for one in given:
        one.motion_gate_s = 60.0
    return given


@once
@pytest.mark.parametrize("lane", ["CPU", "JPEG"])
def test_a_still_scene_costs_no_inference(decoders: Rig, tmp_path: Path, lane: str) -> None:
    detector = both(decoders, tmp_path)[lane == "JPEG"]
    same = [entry(3 * n, FRAMES[0].jpeg, (FRAMES[0].width, FRAMES[0].height)) for n in range(6)]
    same[4] = entry(12, FRAMES[1].jpeg, (FRAMES[1].width, FRAMES[1].height))
    through(detector, gated(same))
    assert [one.outcome is GapReason.UNCHANGED for one in same] == [False, True, True, True, False, False]
    assert all(isinstance(same[n].outcome, Result) for n in (0, 4, 5))


@once
def test_what_is_like_a_frame_that_the_gpu_can_t_decode_is_looked_at(
    decoders: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = both(decoders, tmp_path)[1]
    finish, first = detector.finish, iter([[Damaged("not this one")]])
    monkeypatch.setattr(detector, "finish", lambda: (found := finish()) and next(first, found))
    same = [entry(3 * n, FRAMES[0].jpeg, (FRAMES[0].width, FRAMES[0].height)) for n in range(6)]
    through(detector, gated(same))
    assert same[0].outcome is GapReason.DEAD
    assert isinstance(same[1].outcome, Result)
    assert [one.outcome for one in same[2:]] == [GapReason.UNCHANGED] * 4


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_a_damaged_frame_is_dead_behind_the_gate(decoders: Rig, tmp_path: Path, broken: bytes) -> None:
    given = [entry(0, FRAMES[1].jpeg, (64, 64)), entry(3, broken, (64, 64))]
    through(both(decoders, tmp_path)[1], gated(given))
    assert given[1].outcome is GapReason.DEAD


class Watched:
    """A detector, and what was asked of it in which order; `finish` waits until it is let."""

    def __init__(self, detector: GpuDetector) -> None:
        self._detector = detector
        self.calls: list[str] = []
        self.let = threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._detector, name)

    def start(self, frames: Any) -> None:
        self.calls.append(f"start {len(frames)}")
        self._detector.start(frames)

    def finish(self) -> Any:
        assert self.let.wait(20)
        self.calls.append("finish")
        return self._detector.finish()


@once
def test_a_batch_is_begun_while_another_is_under_way(decoders: Rig, tmp_path: Path) -> None:
    watched = Watched(both(decoders, tmp_path)[1])
    harness = Harness(watched)
    given = entries(12)
    harness.put(given)
    watched.let.set()
    with harness.running():
        harness.done(given)
    assert watched.calls == ["start 4", "start 4", "finish", "start 4", "finish", "finish"]


@once
def test_results_do_not_wait_for_a_next_frame(decoders: Rig, tmp_path: Path) -> None:
    watched = Watched(both(decoders, tmp_path)[1])
    watched.let.set()
    harness = Harness(watched)
    with harness.running():
        for number in range(3):
            given = entries(3)[number : number + 1]
            harness.put(given)
            harness.done(given)
    assert watched.calls == ["start 1", "finish"] * 3


@once
def test_what_is_under_way_is_done_when_it_is_stopped(decoders: Rig, tmp_path: Path) -> None:
    watched = Watched(both(decoders, tmp_path)[1])
    harness = Harness(watched)
    given = entries(8)
    harness.put(given)
    with harness.running():
        wait_until(lambda: len(watched.calls) == 2)
        harness.lane.stop()
        watched.let.set()
    assert all(isinstance(one.outcome, Result) for one in given)
    assert not decoders.gpu.taken


@once
def best_of_two(rig: Rig, folder: Path) -> Watched:
    _, whole = both(rig, folder)
    whole.engine.network.best = 2
    watched = Watched(whole)
    watched.let.set()
    return watched


@once
def test_the_best_batch_is_waited_for(decoders: Rig, tmp_path: Path) -> None:
    watched = best_of_two(decoders, tmp_path)
    harness = Harness(watched, SETTINGS.model_copy(update={"batch_wait_ms": 60_000}))
    with harness.running():
        first = entries(2)
        harness.put(first[:1])
        harness.put(first[1:])
        harness.done(first)  # which waits less than a minute
    assert watched.calls == ["start 2", "finish"]


@once
def test_more_than_the_best_batch_is_taken_if_it_is_there(decoders: Rig, tmp_path: Path) -> None:
    watched = best_of_two(decoders, tmp_path)
    harness = Harness(watched)
    harness.put(given := entries(4))
    with harness.running():
        harness.done(given)
    assert watched.calls == ["start 4", "finish"]


LOST = fake.LaunchError("cuEventSynchronize failed: an illegal memory access was encountered")
FULL = fake.MemoryError("cuMemAlloc failed: out of memory")


@pytest.mark.parametrize(
    ("call", "error", "kind", "words"),
    [
        ("synchronize", LOST, DeviceLostError, "inference: the GPU failed"),
        ("memcpy_htod_async", FULL, OutOfDeviceMemoryError, "out of memory on the GPU"),
    ],
)
def test_a_gpu_that_fails_ends_the_lane_and_its_frames_are_not_done(
    decoders: Rig, tmp_path: Path, call: str, error: Exception, kind: type[Exception], words: str
) -> None:
    _, for_arrays = decoders.detectors(network(tmp_path))
    whole = on_gpu(for_arrays)
    assert whole is not None
    harness = Harness(whole)
    given = entries(6)
    harness.put(given)
    with decoders.gpu.failing(call, error):
        harness.lane.start()
        harness.lane.join(30)
    assert isinstance(harness.lane.failed, kind)
    assert words in str(harness.lane.failed)
    assert not any(one.done for one in given)


class Fussy(Watched):
    """Fails at batches in which one certain JPEG is."""

    def __init__(self, detector: GpuDetector, bad: bytes) -> None:
        super().__init__(detector)
        self._bad, self._failing = bad, deque[bool]()

    def start(self, frames: Any) -> None:
        super().start(frames)
        self._failing.append(any(frame.jpeg == self._bad for frame in frames))

    def finish(self) -> Any:
        found = super().finish()
        if self._failing.popleft():
            raise RuntimeError("it doesn't like this one")
        return found


@once
def test_a_frame_that_fails_alone_is_dead_and_its_neighbours_have_results(decoders: Rig, tmp_path: Path) -> None:
    given = entries(12)
    given[3] = entry(3, bad := simplejpeg.encode_jpeg(np.full((64, 64, 3), 90, np.uint8)), (64, 64))
    fussy = Fussy(both(decoders, tmp_path)[1], bad)
    fussy.let.set()
    through(fussy, given)
    assert [number for number, one in enumerate(given) if one.outcome is GapReason.DEAD] == [3]
    assert given[3].detail == "RuntimeError: it doesn't like this one"


@once
def test_the_lane_is_chosen_by_what_the_detector_takes(decoders: Rig, tmp_path: Path) -> None:
    on_cpu, on_simulated = both(decoders, tmp_path)
    assert isinstance(Harness(on_simulated).lane, JpegLane)
    assert not isinstance(Harness(on_cpu).lane, JpegLane)
