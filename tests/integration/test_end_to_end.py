"""A real clip through the whole service, against the same detector in the same frames without any service."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from engines.coco import NAMES
from engines.detections import Detections
from engines.detector import open_detector
from streamer.records.detections import BBox
from streamer.settings import DetectSettings, Settings
from tests.integration.worker_rig import environment

CONFIDENT = 0.3
MODEL = "yolox_nano_as_v8.onnx"


@pytest.fixture(scope="module")
def direct(shared_once: Path) -> list[Detections]:
    """Boxes in the decoded frames."""
    detector = open_detector(DetectSettings(model=str(shared_once / "models" / MODEL)), threads=1)
    return [detector.detect_pictures([picture])[0] for picture in _pictures(shared_once)]


@pytest.fixture(scope="module")
def shared_once() -> Path:
    folder = Path(__file__).parents[3] / "shared"
    if not folder.is_dir():
        pytest.skip("the shared clips and models are not here")
    return folder


def _pictures(shared: Path) -> Iterator[NDArray[np.uint8]]:
    with av.open(str(shared / "videos" / "coco_slideshow_dev.mp4")) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="rgb24")


@pytest.mark.timeout(180)
@pytest.mark.parametrize(("transport", "least"), [("full", 0.90), ("network", 0.85)])
def test_a_clip_through_the_whole_service(
    settings: Settings, shared: Path, tmp_path: Path, direct: list[Detections], transport: str, least: float
) -> None:
    output = tmp_path / "results.jsonl"
    words = ["run", str(shared / "videos" / "coco_slideshow_dev.mp4"), "--model", str(shared / "models" / MODEL)]
    done = subprocess.run(
        [sys.executable, "-m", "streamer", *words, "--transport", transport, "--output", str(output)],
        env=environment(settings),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in output.read_text().splitlines()]
    assert [(record["kind"], record["sequence"]) for record in records] == [
        *(("frame", number) for number in range(len(direct))),
        ("end", len(direct)),
    ]
    assert found_again(records, direct) >= least


def found_again(records: list[dict[str, Any]], direct: list[Detections]) -> float:
    """Share of the direct boxes above .3 that a record has too: same class, IoU above .9."""
    found = total = 0
    for record, expected in zip(records, direct, strict=False):
        rows = [(o["type"], BBox(*o["bbox"].values())) for o in record["objects"]]
        for box, score, kind in zip(expected.boxes, expected.scores, expected.classes, strict=True):
            if score > CONFIDENT:
                total += 1
                found += any(_iou(box, other) > 0.9 for name, other in rows if name == NAMES[kind])
    assert total > 100
    return found / total


def _iou(a: NDArray[np.float32], b: BBox) -> float:
    wide = min(a[2], b.right) - max(a[0], b.left)
    high = min(a[3], b.bottom) - max(a[1], b.top)
    both = max(wide, 0) * max(high, 0)
    area = (a[2] - a[0]) * (a[3] - a[1]) + (b.right - b.left) * (b.bottom - b.top)
    return float(both / (area - both))
