"""Checkpoints of trainings. Needs PyTorch."""

import copy
import io
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import torch

from engines.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from engines.training.classify.checkpoint import ClassifierCheckpoint, load_classifier, save_classifier
from engines.training.classify.network import ClassifierConfig, ClassifierNetwork
from engines.training.network import NetworkConfig, build_network
from streamer.errors import ModelError
from tests.fuzz.files import in_a_file
from tests.fuzz.near import bytes_near, values_near
from tests.fuzz.target import Target

NAMES = ("a", "b")
DETECTOR = NetworkConfig(2, 4, (4, 4, 4, 4), (0, 1, 1, 1), 4, 4)
CLASSIFIER = ClassifierConfig(2, (4, 4))
ENDLESS = {"depths": (0, 8192, 8192, 8192)}
HUGE = {"stem": 8192, "widths": (8192,) * 4, "neck": 8192, "head": 8192}


@cache
def written() -> list[bytes]:
    """A detector's and a classifier's."""
    detector, classifier = build_network(DETECTOR), ClassifierNetwork(CLASSIFIER)
    with tempfile.TemporaryDirectory() as folder:
        one, other = Path(folder, "detector.pt"), Path(folder, "classifier.pt")
        save_checkpoint(one, Checkpoint(DETECTOR, NAMES, 64, detector.state_dict()))
        save_classifier(other, ClassifierCheckpoint(CLASSIFIER, NAMES, 32, classifier.state_dict()))
        return [one.read_bytes(), other.read_bytes()]


def contents() -> list[dict[str, Any]]:
    """What is in them."""
    return [torch.load(io.BytesIO(data), weights_only=True) for data in written()]


def load(path: Path) -> None:
    """As whatever it is, up to a network that could run."""
    for read, side in ((load_checkpoint, 64), (load_classifier, 32)):
        try:
            loaded: Any = read(path)
        except ModelError as error:
            refused = error
            continue
        loaded.network()(torch.zeros(1, 3, side, side))
        return
    raise refused


def _file(content: Any) -> bytes:
    data = io.BytesIO()
    torch.save(content, data)
    return data.getvalue()


def _with(**sizes: Any) -> bytes:
    content = copy.deepcopy(contents()[0])
    content["config"].update(sizes)
    return _file(content)


TARGETS = (
    Target(
        "checkpoint",
        bytes_near(written()) | values_near(contents()).map(_file),
        in_a_file("best.pt", load),
        (ModelError,),
        [_with(**ENDLESS), _with(**HUGE), _with(classes=3), _file({"format": "streamer detector 1"})],
        examples=40,
    ),
)
