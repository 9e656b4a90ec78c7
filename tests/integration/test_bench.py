"""What `make bench` measures and writes. What it finds is not judged here: machines differ."""

import json
from pathlib import Path

import pytest

from tests.bench import floor, service
from tests.bench.__main__ import ONE_LIVE, SCENARIOS, show, summary
from tests.clips import write_grey_clip
from tests.integration.worker_rig import make_model

PICTURES = 80
PROMISED = {
    *("floor_cpu_ms_per_frame", "service_cpu_ms_per_frame", "ratio", "ratio_without_network"),
    *("ratio_without_network_realtime", "latency_ms", "stage_sum_ms"),
}


def test_a_scenario_is_measured_and_set_against_the_floor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip, model = write_grey_clip(tmp_path / "clip.mp4", PICTURES), make_model(tmp_path / "thing.onnx")
    low = floor.measure(clip, model)
    assert (low.frames, low.boxes) == (PICTURES - floor.WARM_UP, PICTURES - floor.WARM_UP)
    assert all(low.cpu_ms[stage] > 0 for stage in floor.STAGES)

    with service.bench_stack(tmp_path) as (settings, pids):
        cost = service.run(settings, pids, clip, model, ONE_LIVE)
    assert 0 < cost.frames + cost.skipped < PICTURES
    assert 0 < cost.network < cost.worker
    assert min(cost.producer, cost.broker, cost.redis, cost.commit_ms) > 0
    assert all(0 < ms < 10_000 for ms in cost.latency_ms)
    assert {"decode", "detect"} <= cost.stages_ms.keys()
    assert {"decode", "encode", "acknowledge"} <= cost.producer_stages_ms.keys()

    report = summary({each.name: [low] for each in SCENARIOS}, {each.name: [cost] for each in SCENARIOS})
    assert json.loads(json.dumps(report)).keys() >= PROMISED
    assert report["ratio"] == pytest.approx(cost.service / low.total, abs=0.001)
    assert report["ratio_without_network"] == pytest.approx(
        (cost.service - cost.network) / low.without_network, abs=0.001
    )
    assert sorted(report["latency_ms"]) == ["p50", "p95", "p99"]

    capsys.readouterr()
    about = {"clip": clip.name, "model": model.name, "machine": "", "repeats": 1}
    show({**report, **about})
    shown = capsys.readouterr().out
    assert all(shown.count(scenario.name) == 2 for scenario in SCENARIOS)
    assert shown.count("produce: encode") == len(SCENARIOS)
