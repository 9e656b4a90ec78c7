"""Frames on their way through a worker: ledger, lane, tracker, bytes of the record."""

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from hypothesis import strategies as st

from consumers.choose import Chooser
from consumers.entry import Batch, Entry
from consumers.lanes.decode import DeadFrameError, check, decode
from consumers.lanes.make import make_lane
from consumers.lanes.motion_gate import MotionGate
from consumers.ledger import Ledger
from consumers.positions import Positions, load_positions
from engines.detector import open_detector
from streamer.errors import RecordError
from streamer.moments import unix_ms
from streamer.records import Event, parse_detection, parse_headers
from streamer.settings import DetectSettings
from tests.fuzz.near import bytes_near
from tests.fuzz.records import END, FRAME, changed_headers, follow
from tests.fuzz.target import Target
from tests.integration.worker_rig import make_model


@cache
def jpegs() -> list[bytes]:
    """Pictures of 64x48, plain, progressive and with a comment."""
    picture = np.random.default_rng(2).integers(0, 256, (48, 64, 3), np.uint8)
    plain = bytes(cv2.imencode(".jpg", picture)[1])
    progressive = bytes(cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_PROGRESSIVE, 1))[1])
    return [plain, progressive, plain[:2] + b"\xff\xfe\x00\x06note" + plain[2:]]


def read_jpeg(jpeg: bytes) -> None:
    """A frame's picture, as a worker decodes it."""
    check(jpeg, FRAME, 64_000_000)
    picture = decode(jpeg, FRAME, (32, 24), "RGB")
    assert picture.shape[2] == 3


class Worker:
    """What a worker has between its poll and its commit. Started at the first frame, never stopped."""

    def __init__(self) -> None:
        path = make_model(Path(tempfile.mkdtemp(), "thing.onnx"))
        settings = DetectSettings(model=str(path))
        detector = open_detector(settings, 1)
        self.ledger = Ledger("main")
        self.chooser = Chooser(16, self.ledger.finish)
        self.lane = make_lane(0, detector, settings, self.chooser, self.ledger, MotionGate())
        self.followers = follow({})
        self.followers.classes = detector.model.classes
        self.lane.start()

    def take(self, headers: list[tuple[str, Any]], timestamp: int, jpeg: bytes) -> Batch:
        """A frame all the way."""
        self.ledger.open(0, Positions({}))
        entry = Entry(0, 7, None, parse_headers(headers, timestamp), jpeg, unix_ms(), headers)
        entry.track = True
        assert entry.header is not None
        if self.ledger.register(entry, entry.polled_ms):
            self.chooser.offer(entry.header.stream, entry, None)
        while not self.ledger.wait(0.5):
            assert self.lane.is_alive(), self.lane.failed
        batch = self.ledger.collect(entry.polled_ms)
        assert batch is not None
        self.followers.follow(batch)
        return batch


@cache
def worker() -> Worker:
    """The one of this process."""
    return Worker()


def read_frame(given: tuple[list[tuple[str, Any]], int, bytes]) -> None:
    """A record of `frames`: what is written of it can be read again, and the lane lives on."""
    batch = worker().take(*given)
    for _, record in batch.records:
        assert parse_detection(record.to_json()).id == record.id
    for _, event in batch.events:
        assert Event.from_json(event.to_json()).redis_id == event.redis_id
    assert batch.offsets[0][0] == 8
    assert load_positions(batch.offsets[0][1]).complete


MATRICES = [
    [(name, matrix if name == "ce_matrix" else value) for name, value in FRAME.to_headers()]
    for matrix in (b"1e300,0,0,0,1e300,0", b"0,0,0,0,0,0", b"1e308,1e308,0,1e308,1e308,0")
]
FOUND = [(headers, FRAME.captured_ms, jpegs()[0]) for headers in MATRICES]
frames = st.tuples(changed_headers([FRAME, FRAME, END]), st.sampled_from(jpegs()) | bytes_near(jpegs())).map(
    lambda both: (*both[0], both[1])
)
TARGETS = (
    Target("JPEG", bytes_near(jpegs()), read_jpeg, (DeadFrameError,)),
    Target("frames", frames, read_frame, (RecordError,), FOUND),
)
