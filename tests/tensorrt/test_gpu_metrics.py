"""How busy and how full the GPU is, on /metrics."""

import gc
import importlib.util
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import REGISTRY, generate_latest

from consumers.telemetry.gpu_metrics import GPUS
from engines.tensorrt.usage import UsageMeter, usage_meter
from tests.conftest import need
from tests.fakes.nvml import Nvml, pynvml
from tests.tensorrt.rig import Rig
from tests.tensorrt.test_gpu_detector import network

NAME = "Simulated 0000:00:00.0"


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> Iterator[Nvml]:
    state = Nvml()
    monkeypatch.setitem(sys.modules, "pynvml", pynvml(state))
    usage_meter.cache_clear()
    yield state
    usage_meter.cache_clear()


def shown() -> dict[str, float | None]:
    names = ("busy_ratio", "memory_used_bytes", "memory_total_bytes")
    return {name: REGISTRY.get_sample_value(f"streamer_gpu_{name}", {"gpu": NAME}) for name in names}


def test_a_workers_gpu_is_shown_for_as_long_as_it_has_one(rig: Rig, nvml: Nvml, tmp_path: Path) -> None:
    on_cpu, on_gpu = rig.detectors(network(tmp_path))
    GPUS.watch([on_cpu])
    assert b"streamer_gpu" not in generate_latest(REGISTRY)
    GPUS.watch([on_gpu, rig.detectors(network(tmp_path))[1]])
    assert shown() == {"busy_ratio": 0.4, "memory_used_bytes": 3 << 30, "memory_total_bytes": 8 << 30}
    nvml.busy, nvml.used = 100, 4 << 30
    assert shown() == {"busy_ratio": 1.0, "memory_used_bytes": 4 << 30, "memory_total_bytes": 8 << 30}
    del on_gpu
    gc.collect()
    assert b"streamer_gpu" not in generate_latest(REGISTRY)


def test_what_a_share_of_a_gpu_has_no_figure_for_is_left_out_and_said_once(
    rig: Rig, nvml: Nvml, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    nvml.failing["nvmlDeviceGetUtilizationRates"] = "Not Supported"
    _, on_gpu = rig.detectors(network(tmp_path))
    GPUS.watch([on_gpu])
    for _ in range(2):
        assert shown() == {"busy_ratio": None, "memory_used_bytes": 3 << 30, "memory_total_bytes": 8 << 30}
    assert caplog.messages == ["no metrics of the GPU's utilization: Not Supported"]


@pytest.mark.parametrize("reason", ["no package", "no driver", "another GPU"])
def test_a_worker_does_without(
    rig: Rig,
    nvml: Nvml,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    reason: str,
) -> None:
    said = {"no package": "they need the package nvidia-ml-py", "no driver": "Gone", "another GPU": "Not Found"}
    if reason == "no package":
        monkeypatch.setitem(sys.modules, "pynvml", None)  # type: ignore[arg-type]
    elif reason == "no driver":
        nvml.failing["nvmlInit"] = "Gone"
    else:
        nvml.address = "0000:07:00.0"
    _, on_gpu = rig.detectors(network(tmp_path))
    GPUS.watch([on_gpu])
    for _ in range(2):
        assert set(shown().values()) == {None}
    assert caplog.messages == [f"no metrics of the GPU: {said[reason]}"]


def test_the_real_library_says_why_it_can_not(caplog: pytest.LogCaptureFixture) -> None:
    need(importlib.util.find_spec("pynvml") is not None, "nvidia-ml-py")
    caplog.set_level(logging.WARNING)
    usage = UsageMeter("0000:ff:1f.7").read()
    assert (usage.busy, usage.memory_used, usage.memory_total) == (None, None, None)
    [words] = caplog.messages
    assert words.startswith("no metrics of the GPU: ")
