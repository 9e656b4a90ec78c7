"""What docs/models.md says and shows is so."""

import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import pytest

from engines.detector import open_detector
from streamer.settings import DetectSettings
from tests.unit.networks import constant_network, rows

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "models.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The page's head and engine as an installed package."""
    _, head, engine = blocks("python")
    (tmp_path / "my_detector.py").write_text(head + "\n\n" + engine)
    groups = {}
    for block in blocks("toml"):
        groups.update(tomllib.loads(block)["project"]["entry-points"])
    lines = [f"[{group}]\n" + "\n".join(f"{k} = {v}" for k, v in entries.items()) for group, entries in groups.items()]
    information = tmp_path / "my_detector-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: my-detector\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("my_detector", None)


def test_a_head_and_an_engine_of_your_own(installed: Path) -> None:
    table = rows((10, 20, 30, 60, 0, 0.8), (11, 20, 30, 60, 0, 0.7), count=50, width=7)
    path = constant_network(installed / "m.onnx", {"o": table}, metadata={"author": "me"})

    detector = open_detector(DetectSettings(model=str(path), engine="reference"), threads=1)
    [found] = detector.detect_pictures([np.zeros((64, 64, 3), np.uint8)])

    assert (detector.model.head, detector.model.reason) == ("corners", "its author is me")
    assert detector.engine.name == "reference"
    np.testing.assert_allclose(found.boxes, [[10, 20, 30, 60]], atol=1e-3)
    assert found.classes.tolist() == [1]


def test_writing_metadata(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = rows((32, 32, 16, 16, 0.9, 0), count=84, width=7)
    table[0, :, :2] = np.linspace(0, 64, 84)[:, None]
    path = constant_network(tmp_path / "detector.onnx", {"o": table})
    monkeypatch.chdir(tmp_path)

    exec(blocks("python")[0], {})

    model = open_detector(DetectSettings(model=str(path)), threads=1).model
    assert (model.classes, model.head) == (("cat", "dog"), "yolox")


def test_every_head_is_in_the_table() -> None:
    there = {entry.name for entry in entry_points(group="streamer.heads")}
    assert there == set(re.findall(r"^\| `(\w+)` \| .*(?:RGB|BGR) 0\.\.", PAGE, re.MULTILINE))
