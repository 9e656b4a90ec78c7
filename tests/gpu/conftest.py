"""What runs on a real GPU only: `make test-gpu`, which fails where there is none. Elsewhere it is skipped."""

import os
from pathlib import Path

import pytest

from engines.tensorrt.device import Device, open_device
from engines.tensorrt.library import Library, open_library
from streamer.errors import StreamerError

REQUIRED = "REQUIRE_GPU"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips with the reason why there is no GPU, unless one is required."""
    reason = no_gpu()
    if reason and not os.environ.get(REQUIRED):
        here = Path(__file__).parent
        for item in items:
            if here in item.path.parents:
                item.add_marker(pytest.mark.skip(reason=f"{reason} (make test-gpu, on a machine with a GPU)"))


def no_gpu() -> str:
    """Why there is none; nothing if there is one."""
    try:
        open_device()
    except StreamerError as error:
        return str(error)
    return ""


@pytest.fixture(scope="session")
def device() -> Device:
    """The GPU."""
    return open_device()


@pytest.fixture(scope="session")
def tensorrt() -> Library:
    """TensorRT."""
    return open_library()


@pytest.fixture(scope="session", autouse=True)
def _engines_of_their_own(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A cache that holds nothing yet; one that is set keeps them, for measurements of the same models."""
    os.environ.setdefault("STREAMER_TENSORRT__CACHE", str(tmp_path_factory.mktemp("engines")))
