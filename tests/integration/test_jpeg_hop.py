"""The JPEG between producer and worker keeps the boxes, at full size and at the network's."""

from pathlib import Path

import pytest

from engines.detections import Detections
from engines.detector import Detector
from tests.bench import jpeg_hop


@pytest.fixture(scope="module")
def detector(shared: Path) -> Detector:
    return jpeg_hop.open_sure(shared / "models/yolox_nano_as_v8.onnx")


@pytest.fixture(scope="module")
def clip(shared: Path) -> list["jpeg_hop.av.VideoFrame"]:
    # Each picture of the slideshow is shown five times.
    return jpeg_hop.frames(shared / "videos/coco_slideshow_dev.mp4", every=5)


@pytest.fixture(scope="module")
def truth(detector: Detector, clip: list["jpeg_hop.av.VideoFrame"]) -> list[Detections]:
    return jpeg_hop.direct(detector, clip)


@pytest.mark.shared
@pytest.mark.parametrize(("transport", "least"), [("full", 0.90), ("network", 0.85)])
def test_boxes_are_found_again(
    detector: Detector,
    clip: list["jpeg_hop.av.VideoFrame"],
    truth: list[Detections],
    transport: str,
    least: float,
) -> None:
    hop = jpeg_hop.through(detector, clip, jpeg_hop.service(detector, transport), truth)

    assert sum(len(boxes) for boxes in truth) > 100
    assert hop.found >= least
