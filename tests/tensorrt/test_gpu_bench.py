"""The measurements for a real GPU, on the simulated one: what they say is wrong, but they run to their end."""

import json
import shutil
import sys
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from engines import engine as engines
from engines.tensorrt import bench as engine_bench
from engines.tensorrt import engine as engine_module
from engines.tensorrt.plan_file import Plan
from engines.tensorrt.plans import Wanted
from tests.bench.gpu import __main__ as bench
from tests.bench.gpu import boxes, load, throughput
from tests.bench.gpu.material import Material
from tests.fakes.gpu import CUresult
from tests.fakes.nvimgcodec import nvimgcodec
from tests.fakes.tensorrt import plan_of
from tests.tensorrt.rig import Rig
from tests.unit.networks import constant_network, rows

NAMES = {"names": "{0: 'cat', 1: 'dog'}", "imgsz": "[64, 64]"}


@pytest.fixture
def material(tmp_path: Path) -> Path:
    """A model that finds the same cat in everything, frames, and pictures of that cat."""
    folder = tmp_path / "material"
    for name in ("models", "frames", "labelled/images"):
        (folder / name).mkdir(parents=True)
    table = rows((32, 32, 16, 16, 0.9, 0), (10, 10, 8, 8, 0, 0.3), count=84, width=6)
    answer = {"output0": np.ascontiguousarray(table.transpose(0, 2, 1))}
    constant_network(folder / "models" / "fp32.onnx", answer, ("n", 3, 64, 64), NAMES)
    shutil.copy(folder / "models" / "fp32.onnx", folder / "models" / "int8.onnx")
    random = np.random.default_rng(1)
    images, marks = [], []
    for number in range(6):
        picture = random.integers(0, 256, (64, 128, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / "frames" / f"{number}.jpg"), picture)
        cv2.imwrite(str(folder / "labelled" / "images" / f"{number}.jpg"), picture)
        images.append({"id": number, "file_name": f"images/{number}.jpg", "width": 128, "height": 64})
        marks.append({"id": number, "image_id": number, "category_id": 1, "bbox": [48, 16, 32, 32], "iscrowd": 0})
    listing = {"images": images, "annotations": marks, "categories": [{"id": 1, "name": "cat"}]}
    (folder / "labelled" / "val.json").write_text(json.dumps(listing))
    return folder


@pytest.fixture
def simulated(rig_with_kernels: Rig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Rig:
    """Opened by name, with short runs."""

    def obtain(wanted: Wanted) -> Plan:
        model = wanted.file.path
        return Plan(plan_of(model.read_bytes(), wanted.spec.batch), None, (), model.name, 1.0, 0.0)

    monkeypatch.setattr(engine_module, "obtain_plan", obtain)
    point = EntryPoint("tensorrt", "engines.tensorrt.engine:open_engine", engines.GROUP)
    monkeypatch.setattr(engines, "entry_points", lambda group: [*entry_points(group=group), point])
    monkeypatch.setitem(sys.modules, "nvidia.nvimgcodec", nvimgcodec(rig_with_kernels.gpu))
    for module in (throughput, engine_bench):
        monkeypatch.setattr(module, "_WARM_S", 0.01)
    monkeypatch.setattr(load, "_STEPS", (1, 2))
    monkeypatch.setattr(load, "WANTED", 2)
    monkeypatch.chdir(tmp_path)
    return rig_with_kernels


def test_every_part_is_measured_and_written(
    simulated: Rig, material: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--seconds", "0.03", "--load-seconds", "1", "--frames", "40", "--batch", "4"]
    monkeypatch.setattr(sys, "argv", ["bench", str(material), *arguments])

    bench.main()

    printed = capsys.readouterr()
    assert "Traceback" not in printed.err
    assert "failed" not in printed.out
    report = json.loads(Path("build/bench-gpu.json").read_text())
    assert list(report["parts"]) == list(bench.parts(1, 1, 100))
    for part in report["parts"].values():
        assert part["figures"]
        assert part["holds"]
        assert part["command"].startswith("python -m tests.bench.gpu ")
    assert report["parts"]["from jpeg, boxes"]["figures"]["gpu"] == pytest.approx(1)
    assert all(report["parts"]["same boxes"]["holds"].values())


def test_what_was_not_measured_does_not_hold(simulated: Rig, material: Path) -> None:
    """Graphs that can't be recorded, and a model that isn't there."""
    (material / "models" / "int8.onnx").unlink()
    made = Material(material, 4)
    holds = boxes.reduced_precision(made)["holds"]
    assert [name for name, fine in holds.items() if not fine] == [f"int8: {material}/models/int8.onnx is there"]
    simulated.gpu.broken["cuStreamEndCapture"] = CUresult.CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED  # type: ignore[assignment]
    holds = throughput.engine_level(made, 0.03)["holds"]
    assert holds == {"model: recorded as CUDA graphs": False, "fp16: recorded as CUDA graphs": False}


def test_what_is_measured_is_not_measured_again(
    simulated: Rig, material: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls: list[str] = []

    def parts(*_: Any) -> dict[str, bench.Part]:
        return {name: lambda material, name=name: measured(name) for name in ("one", "two")}  # type: ignore[misc]

    def measured(name: str) -> dict[str, Any]:
        calls.append(name)
        if name == "two" and len(calls) == 2:
            raise RuntimeError("the time is up")
        return {"figures": {}, "holds": {"it": name == "one"}}

    monkeypatch.setattr(bench, "parts", parts)
    monkeypatch.setattr(sys, "argv", ["bench", str(material)])
    assert [bench.main(), bench.main(), bench.main()] == [0, 1, 1]
    assert calls == ["one", "two", "two"]
    assert "BROKEN two: it" in capsys.readouterr().out


def test_a_queue_that_grows_does_not_hold() -> None:
    steady = load.Run([0.01] * 100, [3, 1, 4, 1, 5, 2, 6, 5])
    growing = load.Run([0.01] * 100, [0, 10, 20, 30, 40, 50, 60, 70])
    late = load.Run([0.2] * 100, [0] * 8)
    assert [steady.holds, growing.holds, late.holds] == [True, False, False]


@pytest.mark.parametrize("most", [1, 24, 137, 180, 200, 290, 5000])
def test_the_most_streams_are_found_to_a_tenth(most: int) -> None:
    tried: list[int] = []

    def holds(streams: int) -> bool:
        tried.append(streams)
        return streams <= most

    found = load.largest(holds)
    assert found <= most
    assert found >= min(most, 800) - max(found // 10, 1)
    assert len(tried) < 12


def test_what_holds_briefly_is_tried_for_the_whole_time_and_less_if_it_does_not() -> None:
    tried: list[int] = []

    def holds(streams: int, most: int) -> bool:
        tried.append(streams)
        return streams <= most

    assert load.lasting(200, lambda streams: holds(streams, 200)) == 200
    assert load.lasting(200, lambda streams: holds(streams, 130)) == 128
    assert load.lasting(200, lambda streams: holds(streams, 3)) == 0
    assert tried == [200, 200, 160, 128, 200, 160, 128, 102]
    assert load.lasting(0, lambda _: True) == 0


@pytest.mark.parametrize(
    ("reached", "late_s", "limit"),
    [(2900, 0.001, "decode"), (900, 0.001, "what is between the stages"), (900, 0.5, "this machine: its cameras")],
)
def test_the_stage_that_limits_is_named(reached: float, late_s: float, limit: str) -> None:
    alone = {"decode": 3000.0, "network": 9000.0, "letterbox and boxes": 20_000.0}
    assert load.limiting(alone, reached, late_s).startswith(limit)


def test_a_load_that_does_not_hold_says_what_limits_it(
    simulated: Rig, material: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load.Run, "holds", property(lambda run: len(run.waiting) < 0))
    found = load.load(Material(material, 4), seconds=0.1, threads=1)
    assert found["figures"]["most_streams"] == 0
    assert found["figures"]["limited_by"]
    assert found["figures"]["different_frames"] == 6
    assert not any(found["holds"].values())


def test_without_material_of_ones_own_it_is_drawn(
    simulated: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("av", reason="frames are drawn where the package is complete, not on a GPU machine")
    from tests.gpu import material as drawn

    monkeypatch.setattr(drawn, "FRAMES", 3)
    monkeypatch.setattr(drawn, "_LABELLED", 8)
    monkeypatch.setattr(sys, "argv", ["material", str(tmp_path / "drawn")])
    drawn.main()
    made = Material(tmp_path / "drawn", 4)
    assert [(frame.width, frame.height) for frame in made.frames] == [(1280, 720)] * 3
    assert len({frame.jpeg for frame in made.frames}) == 3
    assert made.model("int8").exists()
    found = boxes.from_jpeg(made)
    assert found["figures"]["pictures"] == 8
    assert found["figures"]["gpu"] > 0.3
    assert all(found["holds"].values())
