"""What the tests of one worker begin with."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from streamer.settings import Settings
from tests.integration.worker_rig import Rig, changed, make_model


@pytest.fixture
def rig(settings: Settings, tmp_path: Path) -> Iterator[Rig]:
    """A worker's surroundings; its model finds one thing in every picture."""
    rig = Rig(changed(settings, model=str(make_model(tmp_path / "thing.onnx")), sessions=2))
    yield rig
    rig.close()
