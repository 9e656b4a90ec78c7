"""The measurements for a real GPU, on the simulated one: what they say is wrong, but they run to their end."""

import json
import shutil
import subprocess
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
from engines.tensorrt.errors import DeviceLostError
from engines.tensorrt.plan_file import Plan
from engines.tensorrt.plans import Wanted
from tests.bench.gpu import __main__ as bench
from tests.bench.gpu import boxes, leak, load, throughput
from tests.bench.gpu.material import BY_GPU, Material, Note
from tests.fakes.gpu import CUresult, LaunchError
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
    monkeypatch.setattr(load, "_STEPS", (1,))
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
    assert list(report["parts"]) == list(bench.parts(1, 1, 100, print))
    assert not report["cut off"]
    for part in report["parts"].values():
        assert part["figures"]
        assert part["holds"]
        assert part["command"].startswith("python -m tests.bench.gpu ")
    for part in ("load", "from jpeg, boxes", "from jpeg, throughput", "leak"):
        assert report["parts"][part]["holds"][BY_GPU]
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
    assert [bench.main(), bench.main(), bench.main()] == [1, 1, 1]
    assert calls == ["one", "two", "two"]
    printed = capsys.readouterr().out
    assert printed.count("MISSING two") == 1
    assert printed.count("BROKEN two: it") == 2


def test_what_a_part_had_measured_when_it_was_cut_off_is_written(
    material: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    output = tmp_path / "figures.json"
    written: list[dict[str, Any]] = []

    def parts(seconds: float, load_seconds: float, frames: int, note: Note) -> dict[str, bench.Part]:
        def part(_: Material) -> dict[str, Any]:
            note({"first": 1})
            written.append(json.loads(output.read_text()))
            return {"figures": {"first": 1, "second": 2}, "holds": {}}

        return {"part": part}

    monkeypatch.setattr(bench, "parts", parts)
    monkeypatch.setenv("MEASURED_COMMIT", "abc")
    bench.commit.cache_clear()
    monkeypatch.setattr(sys, "argv", ["bench", str(material), "--output", str(output)])
    assert bench.main() == 0
    assert [(each["cut off"], each["commit"]) for each in written] == [({"part": {"first": 1}}, "abc")]
    content = json.loads(output.read_text())
    assert not content["cut off"]
    assert content["parts"]["part"]["figures"] == {"first": 1, "second": 2}
    bench.commit.cache_clear()


def test_a_part_that_broke_the_program_is_last_the_next_time(
    material: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calls: list[str] = []

    def parts(*_: Any) -> dict[str, bench.Part]:
        return {name: lambda material, name=name: part(name) for name in ("one", "two", "three")}  # type: ignore[misc]

    def part(name: str) -> dict[str, Any]:
        calls.append(name)
        if calls == ["one", "two"]:
            raise SystemExit("as by a signal")
        return {"figures": {}, "holds": {}}

    monkeypatch.setattr(bench, "parts", parts)
    monkeypatch.setattr(sys, "argv", ["bench", str(material), "--output", str(tmp_path / "figures.json")])
    with pytest.raises(SystemExit, match="as by a signal"):
        bench.main()
    assert bench.main() == 0
    assert calls == ["one", "two", "three", "two"]
    assert capsys.readouterr().out.splitlines()[-1] == "all measured"


def test_a_part_that_hangs_ends_the_program_and_says_where(material: Path, tmp_path: Path) -> None:
    code = """
import sys, threading
from tests.bench.gpu import __main__ as bench
bench.parts = lambda *_: {"part": lambda material: threading.Event().wait()}
sys.exit(bench.main())
"""
    command = [
        sys.executable,
        "-c",
        code,
        str(material),
        "--longest",
        "0.2",
        "--output",
        str(tmp_path / "figures.json"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 1
    assert "Timeout (0:00:00.2" in done.stderr
    assert "in wait" in done.stderr


def test_no_part_begins_beyond_the_budget(
    material: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["bench", str(material), "--budget", "0", "--only", "load", "leak"])
    assert bench.main() == 1
    assert capsys.readouterr().out.splitlines() == ["MISSING load", "MISSING leak"]


def test_a_part_that_there_is_not_is_refused(
    material: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bench", str(material), "--only", "loads"])
    with pytest.raises(SystemExit, match="2"):
        bench.main()
    assert "no such part: loads; there are: same boxes, load, " in capsys.readouterr().err


def test_frames_that_the_cpu_decoded_are_said_to_be(
    simulated: Rig, material: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "nvidia.nvimgcodec", None)  # type: ignore[arg-type]
    made = Material(material, 4)
    found = {
        "load": load.load(made, seconds=0.2, threads=1),
        "boxes": boxes.from_jpeg(made),
        "throughput": throughput.from_jpeg(made, 0.03, (2,)),
        "leak": leak.leak(made, 20, 4),
    }
    assert {name: each["holds"][BY_GPU] for name, each in found.items()} == dict.fromkeys(found, False)
    assert found["boxes"]["figures"]["decoded"] == {"frames": 6, "by_cpu": 6, "damaged": 0}


def test_frames_without_boxes_do_not_hold(simulated: Rig, material: Path) -> None:
    whole = (material / "frames" / "0.jpg").read_bytes()
    (material / "frames" / "1.jpg").write_bytes(whole[: len(whole) // 2])
    made = Material(material, 4)
    found = load.run([made.gpu_detector()], made.frames, 2, 0.5)
    assert 0 < found.decoded.damaged < len(found.latencies) == found.due
    assert not found.holds
    assert not throughput.from_jpeg(made, 0.03, (1,))["holds"][BY_GPU]


@pytest.mark.parametrize("detectors", [1, 3])
def test_a_thread_that_fails_ends_the_measurement(simulated: Rig, material: Path, detectors: int) -> None:
    made = Material(material, 4)
    opened = [made.gpu_detector() for _ in range(detectors)]
    with (
        simulated.gpu.failing("synchronize", LaunchError("an illegal memory access")),
        pytest.raises(DeviceLostError, match="illegal memory access"),
    ):
        load.run(opened, made.frames, 2, 60)

    def fails() -> None:
        raise DeviceLostError("gone")

    with pytest.raises(DeviceLostError, match="gone"):
        throughput._frames_per_s([lambda: None, fails], 1, 0.01)


def test_a_load_is_broken_off_when_frames_wait_too_long(
    simulated: Rig, material: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "_HOPELESS_S", -1.0)
    made = Material(material, 4)
    found = load.run([made.gpu_detector()], made.frames, 2, 60)
    assert found.broken_off
    assert not found.holds


def test_the_wanted_streams_are_tried_first(simulated: Rig, material: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load.Run, "holds", property(lambda run: len(run.waiting) >= 0))
    noted: list[dict[str, Any]] = []
    found = load.load(Material(material, 4), seconds=0.1, threads=1, note=lambda figures: noted.append(dict(figures)))
    assert list(noted[0]) == ["2 streams, 0 s"]
    assert [name for name in found["figures"] if " s" in name and "streams" in name] == ["2 streams, 0 s"]
    assert found["figures"]["most_streams"] == 2
    assert "limited_by" not in found["figures"]


def test_a_queue_that_grows_does_not_hold() -> None:
    steady = load.Run([0.01] * 100, [3, 1, 4, 1, 5, 2, 6, 5], due=100)
    growing = load.Run([0.01] * 100, [0, 10, 20, 30, 40, 50, 60, 70], due=100)
    late = load.Run([0.2] * 100, [0] * 8, due=100)
    short = load.Run([0.01] * 100, [0] * 8, due=101)
    assert [steady.holds, growing.holds, late.holds, short.holds] == [True, False, False, False]


@pytest.mark.parametrize("most", [1, 24, 137, 180, 199])
def test_the_most_streams_are_found_to_a_tenth(most: int) -> None:
    tried: list[int] = []

    def holds(streams: int) -> bool:
        tried.append(streams)
        return streams <= most

    found = load.largest(holds)
    assert found <= most
    assert found >= most - max(found // 10, 1)
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
    assert found["holds"].pop(BY_GPU)
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
