"""`streamer engine verify --whole`: what a worker does from the JPEG on, and not the network alone, is compared."""

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from engines.detections import Detections
from engines.tensorrt import boxes as boxes_module
from engines.tensorrt import command
from streamer.errors import UsageError
from tests.tensorrt.rig import Rig
from tests.tensorrt.test_gpu_detector import FRAMES, network

Verify = Callable[..., int]


@pytest.fixture
def verify(decoders: Rig, named: None, tmp_path: Path) -> Verify:
    """The command, with a model and pictures."""
    (tmp_path / "pictures").mkdir()
    for number, frame in enumerate(FRAMES):
        (tmp_path / "pictures" / f"{number}.jpg").write_bytes(frame.jpeg)
    cv2.imwrite(str(tmp_path / "pictures" / "white.png"), np.full((48, 64, 3), 255, np.uint8))
    model = network(tmp_path)

    def call(*words: str) -> int:
        parser = argparse.ArgumentParser()
        command.configure(parser)
        return command.run(parser.parse_args(["verify", str(model), str(tmp_path / "pictures"), *words]))

    return call


def moved(given: Callable[..., Detections]) -> Callable[..., Detections]:
    def found(*arguments: Any) -> Detections:
        right = given(*arguments)
        return replace(right, boxes=right.boxes + 9)

    return found


def test_the_boxes_of_both_workers_are_compared(
    verify: Verify, decoders: Rig, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verify("--whole") == 0
    said = capsys.readouterr().out
    assert "tensorrt 10.0.0, all on the GPU against onnxruntime" in said
    assert "from JPEGs on the CPU: 6 pictures" in said
    assert decoders.gpu.calls["launch"] > 0
    assert decoders.gpu.taken == {}


def test_what_is_wrong_behind_the_network_is_seen_with_whole_only(
    verify: Verify, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boxes_module.post, "detections", moved(boxes_module.post.detections))
    assert verify() == 0
    assert verify("--whole", "--iou", "0.9") == 1


def test_a_damaged_jpeg_is_named(verify: Verify, tmp_path: Path) -> None:
    (tmp_path / "pictures" / "cut.jpg").write_bytes(FRAMES[0].jpeg[:700])
    with pytest.raises(UsageError, match=r"cut\.jpg: "):
        verify("--whole")
