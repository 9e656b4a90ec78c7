"""The worker's lane on the CPU: frames that nobody waits for go through it together, and come out as they do alone."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import simplejpeg
from onnx import TensorProto, helper, numpy_helper

from consumers.choose import Chooser
from consumers.entry import Entry
from consumers.lanes.make import make_lane, open_detectors
from consumers.lanes.motion_gate import MotionGate
from consumers.ledger import Ledger
from consumers.positions import Positions
from engines.detector import Detector, open_detector
from streamer.moments import unix_ms
from streamer.records import DeadCause, FrameHeader, FrameId, GapReason, Result
from streamer.settings import DetectSettings

SIDE = 64
SIZES = [(64, 48), (48, 64), (64, 64), (60, 20)]  # each with a border of its own
DAMAGED = 6


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In YOLOv8 layout; finds one box, the more surely the brighter the network's input is."""
    places = sum((SIDE // stride) ** 2 for stride in (8, 16, 32))
    box, score = np.zeros((2, 1, 5, places), np.float32)
    box[0, :4, 0] = SIDE / 2, SIDE / 2, 16, 8
    score[0, 4, 0] = 1
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=0),
            helper.make_node("Mul", ["mean", "score"], ["scored"]),
            helper.make_node("Add", ["box", "scored"], ["output0"]),
        ],
        "bright",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, (1, 3, SIDE, SIDE))],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, (1, 5, places))],
        [numpy_helper.from_array(box, "box"), numpy_helper.from_array(score, "score")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    helper.set_model_props(made, {"names": "{0: 'thing'}", "task": "detect", "stride": "8"})
    path = tmp_path_factory.mktemp("model") / "bright.onnx"
    onnx.save(made, path)
    return path


def entry(number: int, patient: bool, size: tuple[int, int] | None = None) -> Entry:
    width, height = size or SIZES[number % len(SIZES)]
    jpeg = simplejpeg.encode_jpeg(np.full((height, width, 3), 100 + 9 * number, np.uint8))
    now_ms = unix_ms()
    header = FrameHeader(
        "file", FrameId(1, number), now_ms, number, width, height, width, height, (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    )
    return Entry(0, number, None, header, jpeg[:200] if number == DAMAGED else jpeg, now_ms, patient=patient)


class Counted(Detector):
    """Notes how many pictures are prepared before each run of the network."""

    prepared = 0
    runs: list[int]

    def prepare(self, *arguments, **options):  # type: ignore[no-untyped-def]
        self.prepared += 1
        return super().prepare(*arguments, **options)

    def detect(self, *arguments, **options):  # type: ignore[no-untyped-def]
        self.runs.append(self.prepared)
        self.prepared = 0
        return super().detect(*arguments, **options)


class FailsAtFirst(Detector):
    """As often as a frame is tried, once together and then alone."""

    failures = 1 + DetectSettings().tries

    def detect(self, *arguments, **options):  # type: ignore[no-untyped-def]
        self.failures -= 1
        if self.failures >= 0:
            raise ValueError("not this one")
        return super().detect(*arguments, **options)


class Measured(Detector):
    """Notes the sizes (height, width) of the pictures that it is given."""

    given: set[tuple[int, ...]]

    def prepare(self, picture, *arguments, **options):  # type: ignore[no-untyped-def]
        self.given.add(picture.shape[:2])
        return super().prepare(picture, *arguments, **options)


def through(model: Path, patient: bool, count: int = 13) -> tuple[list[Entry], list[int]]:
    """The frames, done, and how many were prepared for each run."""
    detector = open_detector(DetectSettings(model=str(model)), 1)
    detector.__class__ = Counted
    assert isinstance(detector, Counted)
    detector.runs = []
    return done(detector, [entry(number, patient) for number in range(count)]), detector.runs


def done(detector: Detector, entries: list[Entry]) -> list[Entry]:
    """The frames, once a lane has done them."""
    settings = DetectSettings(allow_upscale=True)
    ledger = Ledger("main")
    ledger.open(0, Positions({}))
    chooser = Chooser(100, ledger.finish)
    for each in entries:
        assert ledger.register(each, each.polled_ms)
        chooser.offer("file", each, None)
    lane = make_lane(0, detector, settings, chooser, ledger, MotionGate())
    lane.start()
    deadline = time.monotonic() + 20
    while not all(each.done for each in entries):
        assert lane.failed is None
        assert time.monotonic() < deadline
        time.sleep(0.002)
    lane.stop()
    chooser.close()
    lane.join(20)
    return entries


@pytest.mark.parametrize(("padding", "decoded"), [("centre", (36, 64)), ("stretch", (72, 128))])
def test_pictures_are_decoded_no_smaller_than_the_network_takes_them(
    model: Path, tmp_path: Path, padding: str, decoded: tuple[int, int]
) -> None:
    told = onnx.load(model)
    told.metadata_props.add(key="padding", value=padding)
    onnx.save(told, tmp_path / "told.onnx")
    detector = open_detector(DetectSettings(model=str(tmp_path / "told.onnx")), 1)
    detector.__class__ = Measured
    assert isinstance(detector, Measured)
    detector.given = set()
    done(detector, [entry(0, patient=False, size=(256, 144))])
    assert detector.given == {decoded}


def test_frames_that_nobody_waits_for_are_prepared_together_and_found_as_alone(model: Path) -> None:
    alone, runs_alone = through(model, patient=False)
    together, runs = through(model, patient=True)
    assert runs_alone == [1] * 12
    assert max(runs) > 1
    assert sum(runs) == len(runs) == 12
    for one, other in zip(together, alone, strict=True):
        if one.offset == DAMAGED:
            assert one.dead
            assert one.dead.cause is DeadCause.UNREADABLE
            continue
        assert isinstance(one.outcome, Result)
        assert isinstance(other.outcome, Result)
        assert one.outcome.objects == other.outcome.objects
        assert len(one.outcome.objects) == 1
        assert one.stages.keys() == {"transport", "wait", "decode", "detect"}


@pytest.mark.parametrize("patient", [True, False])
def test_what_is_like_a_frame_that_failed_is_looked_at(model: Path, patient: bool) -> None:
    detector = open_detector(DetectSettings(model=str(model)), 1)
    detector.__class__ = FailsAtFirst
    same = [entry(0, patient) for _ in range(6)]
    for number, each in enumerate(same):
        assert isinstance(each.header, FrameHeader)
        each.offset, each.header, each.motion_gate_s = number, replace(each.header, id=FrameId(1, number)), 60.0
    outcomes = [each.outcome for each in done(detector, same)]
    assert outcomes[0] is GapReason.DEAD
    assert isinstance(outcomes[1], Result)
    assert outcomes[2:] == [GapReason.UNCHANGED] * 4


@pytest.mark.parametrize(
    ("settings", "lanes"),
    [
        ({}, 8),
        ({"session_threads": 2}, 4),
        ({"share_cores": 2}, 4),
        ({"session_threads": 2, "share_cores": 3}, 1),
        ({"share_cores": 16}, 1),
        ({"sessions": 3, "share_cores": 16}, 3),
    ],
)
def test_there_are_as_many_lanes_as_a_worker_has_cores_for(
    model: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, int], lanes: int
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(8)))
    assert len(open_detectors(DetectSettings(model=str(model), **settings))) == lanes
