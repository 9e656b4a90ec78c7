"""`streamer engine`, as far as it goes without a GPU; and what it draws and prints."""

import argparse
import json
import os
import re
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from engines.progress import BuildStopped, Progress
from engines.tensorrt import ahead, catalogue, command, layers
from engines.tensorrt.bench import Bench, Rate
from engines.tensorrt.cache import PlanCache, open_cache
from engines.tensorrt.library import open_library
from streamer.errors import StreamerError, UsageError
from streamer.settings import load, reading
from tests.unit.networks import constant_network, rows
from tests.unit.test_plan_cache import KEY, PLAN
from tests.waiting import eventually


@pytest.fixture
def engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PlanCache:
    """The cache that commands use."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STREAMER_TENSORRT__CACHE", str(tmp_path / "engines"))
    return open_cache(tmp_path / "engines")


def call(*words: object) -> int:
    parser = argparse.ArgumentParser()
    command.configure(parser)
    return command.run(parser.parse_args([str(word) for word in words]))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model that finds one object where pictures aren't black: YOLOv8's layout, 84 cells, 3 classes."""
    answer = np.zeros((1, 7, 84), np.float32)
    answer[0, :, 5] = 32, 32, 20, 30, 0, 0.9, 0
    return constant_network(tmp_path / "m.onnx", {"output0": answer}, metadata={"names": str(["a", "b", "c"])})


@pytest.mark.parametrize("action", ["build", "inspect", "bench"])
def test_without_tensorrt_there_is_one_clear_line(
    engines: PlanCache, model: Path, action: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    monkeypatch.setitem(sys.modules, "tensorrt_bindings", None)
    open_library.cache_clear()
    with pytest.raises(StreamerError) as caught:
        call(action, model)
    assert "pip install -e '.[gpu]'" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_list_and_prune(engines: PlanCache, capsys: pytest.CaptureFixture[str]) -> None:
    engines.obtain(KEY, lambda: PLAN)
    old = replace(KEY, preparation=0)
    engines.obtain(old, lambda: PLAN)
    engines.folder.write("00.engine", b"junk")

    assert call("list") == 0
    table = capsys.readouterr().out.splitlines()
    assert table[-1].startswith("3 engines, 0.0 MB in ")
    [line] = [line for line in table if line.startswith(KEY.digest[:12])]
    for word in ("street.onnx", "model", "1,4,8", "10.15.1", "NVIDIA L4 sm_89"):
        assert word in line
    assert any("damaged" in line for line in table)

    assert call("list", "--json") == 0
    found = json.loads(capsys.readouterr().out)["engines"]
    assert {each["digest"]: each["damaged"] for each in found} == {KEY.digest: False, old.digest: False, "00": True}
    assert next(each for each in found if each["digest"] == KEY.digest)["key"]["options"] == {"tf32": False}

    assert call("prune") == 0
    said = capsys.readouterr().out
    assert "removed 00: damaged" in said
    assert f"removed {old.digest[:12]}: made by an older streamer" in said
    assert said.splitlines()[-1].startswith("2 engines removed")
    assert [entry.digest for entry in engines.entries()] == [KEY.digest]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-1],
        lambda content: content[: -len(PLAN.content)],
        lambda content: content + b"\0",
        lambda content: content.replace(b'"batches":[1,4,8]', b'"batches":5'),
        lambda content: content.replace(b'"shape":[3,64,64]', b'"shape":[null]'),
        lambda content: content.replace(b'"gpu":"NVIDIA L4 sm_89"', b'"gpu":[]'),
        lambda content: content.replace(b'"model_name":"street.onnx",', b""),
        lambda content: content.replace(b'"size":', b'"size_of_it":'),
    ],
    ids=["cut", "header only", "longer", "batches", "shape", "gpu", "no name", "no size"],
)
def test_what_is_cut_off_or_damaged_is_shown_so_and_removed(
    engines: PlanCache, capsys: pytest.CaptureFixture[str], damage: Callable[[bytes], bytes]
) -> None:
    engines.obtain(KEY, lambda: PLAN)
    name = f"{KEY.digest}.engine"
    whole = engines.folder.read(name) or b""
    engines.folder.write(name, damage(whole))
    assert damage(whole) != whole

    assert call("list") == 0
    assert "  damaged; `streamer engine prune` removes it" in capsys.readouterr().out
    assert call("list", "--json") == 0
    assert [each["damaged"] for each in json.loads(capsys.readouterr().out)["engines"]] == [True]
    assert call("prune") == 0
    assert f"removed {KEY.digest[:12]}: damaged" in capsys.readouterr().out
    assert engines.entries() == []


@pytest.mark.parametrize(
    ("words", "days_ago", "left"),
    [((), 400, 1), (("--unused", "30"), 29, 1), (("--unused", "30"), 31, 0), (("--all",), 0, 0)],
)
def test_prune_removes_what_is_not_used(engines: PlanCache, words: Any, days_ago: int, left: int) -> None:
    engines.obtain(KEY, lambda: PLAN)
    then = time.time() - days_ago * 24 * 3600
    os.utime(engines.folder.path / f"{KEY.digest}.engine", (then, then))
    assert call("prune", *words) == 0
    assert len(engines.entries()) == left


def left_in(engines: PlanCache) -> set[str]:
    return set(engines.folder.names("")) - {f"{KEY.digest}.engine", f"{KEY.digest}.lock"}


LEFT = {"00.lock": 25, "11.lock": 1, f"{KEY.digest}.engine.77.part": 25, "22.engine.88.part": 1}
TIMED = tuple(
    f"{each}-L4.timings" for each in ("tensorrt-10.14.1", "tensorrt-10.15.1", "tensorrt-10", "tensorrt_rtx-1")
)


@pytest.mark.parametrize("everything", [False, True])
def test_prune_removes_what_builds_have_left(
    engines: PlanCache, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], everything: bool
) -> None:
    monkeypatch.setattr(catalogue, "_installed", lambda: ("tensorrt", "10.15.1", "10"))
    engines.obtain(KEY, lambda: PLAN)
    for name in (*LEFT, *TIMED):
        engines.folder.write(name, b"")
        then = time.time() - LEFT.get(name, 0) * 3600
        os.utime(engines.folder.path / name, (then, then))
    assert call("prune", *(["--all"] if everything else [])) == 0
    kept = {"11.lock", "22.engine.88.part"}
    assert left_in(engines) == (kept if everything else kept | set(TIMED[1:]))
    assert f"removed {6 if everything else 3} files that builds have left" in capsys.readouterr().out


def test_prune_leaves_a_lock_in_which_somebody_is(engines: PlanCache) -> None:
    with engines.folder.alone("00", lambda: True):
        os.utime(engines.folder.path / "00.lock", (0, 0))
        call("prune")
        assert left_in(engines) == {"00.lock"}
    call("prune")
    assert left_in(engines) == set()


def test_to_use_an_engine_counts_as_use(engines: PlanCache) -> None:
    engines.obtain(KEY, lambda: PLAN)
    os.utime(engines.folder.path / f"{KEY.digest}.engine", (0, 0))
    engines.find(KEY)
    assert time.time() - engines.entries()[0].used < 60


def test_an_empty_cache_says_so(engines: PlanCache, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("list") == 0
    assert capsys.readouterr().out == f"{engines.folder.path}: no engines\n"


def picture(path: Path, level: int) -> Path:
    cv2.imwrite(str(path), np.full((48, 64, 3), level, np.uint8))
    return path


def test_verify_compares_two_engines(
    engines: PlanCache, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pictures").mkdir()
    for level in (50, 100, 200):
        picture(tmp_path / "pictures" / f"{level}.png", level)
    (tmp_path / "pictures" / "notes.txt").touch()
    assert call("verify", model, tmp_path / "pictures", "--engine", "onnxruntime") == 0
    assert "3 pictures, 6 boxes, 6 alike at IoU 0.99; least IoU 1.0000" in capsys.readouterr().out


def test_verify_draws_streets_if_no_pictures_are_named(
    engines: PlanCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for _ in range(2):
        assert call("verify", "street", "--engine", "onnxruntime") == 0
    one, other = capsys.readouterr().out.splitlines()
    assert re.search(r": 24 pictures, \d\d\d boxes, ", one)
    assert one == other
    assert not list(tmp_path.glob("streamer-street-*"))


def test_verify_says_why_streets_can_not_be_drawn(engines: PlanCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engines.tensorrt.drawn._SIDE", 9_999)
    with pytest.raises(StreamerError, match=r"no streets could be drawn; name pictures: .*--side"):
        call("verify", "street", "--engine", "onnxruntime")


def test_verify_fails_where_boxes_differ(
    engines: PlanCache, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from engines.tensorrt import verify as verifying

    opened = verifying.open_detector
    other = np.zeros((1, 7, 84), np.float32)
    other[0, :, 5] = 35, 32, 20, 30, 0, 0.8, 0
    other[0, :, 9] = 10, 10, 5, 5, 0.6, 0, 0
    moved = constant_network(tmp_path / "moved.onnx", {"output0": other}, metadata={"names": str(["a", "b", "c"])})

    def open_other(settings: Any, threads: int) -> Any:
        strange = settings.engine == "strange"
        changes = {"engine": "onnxruntime", "model": str(moved)} if strange else {}
        return opened(settings.model_copy(update=changes), threads)

    monkeypatch.setattr(verifying, "open_detector", open_other)
    assert call("verify", model, picture(tmp_path / "p.png", 99), "--engine", "strange") == 1
    said = capsys.readouterr().out
    assert "p.png: 2 boxes, expected 1; 3 without their like (least IoU 0.0000)" in said
    assert "scores apart by 0.10000 in the mean" in said
    assert call("verify", model, tmp_path / "p.png", "--engine", "strange", "--iou", "0.7") == 1  # the second box


@pytest.mark.parametrize(
    ("given", "says"),
    [("missing", "no such file or folder"), (".", "no JPEG or PNG files"), ("m.onnx", "can't be read as a picture")],
)
def test_verify_wants_pictures(engines: PlanCache, model: Path, tmp_path: Path, given: str, says: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=says):
        call("verify", model, tmp_path / "empty" if given == "." else tmp_path / given, "--engine", "onnxruntime")


def test_verify_wants_objects_in_them(engines: PlanCache, tmp_path: Path) -> None:
    empty = constant_network(tmp_path / "none.onnx", {"output0": rows(count=7, width=84)})
    with pytest.raises(UsageError, match="nothing is found in these pictures"):
        call("verify", empty, picture(tmp_path / "p.png", 9), "--engine", "onnxruntime", "--reference", "onnxruntime")


INSPECTED = {
    "Layers": [
        {
            "Name": "/stem/conv" + "x" * 99,
            "LayerType": "CaskConvolution",
            "Outputs": [{"Name": "a", "Dimensions": [1, 16, 208, 208], "Format/Datatype": "Channel major FP16 format"}],
        },
        {
            "Name": "quantise",
            "LayerType": "Scale",
            "Outputs": [{"Dimensions": [1, 3, 8, 8], "Format/Datatype": "Int8"}],
        },
        "only a name",
    ],
    "Bindings": ["images", "output0"],
}


def test_layers_are_told_with_formats_and_sizes() -> None:
    found = layers.parse_layers(json.dumps(INSPECTED))
    assert [(each.kind, each.formats, each.size) for each in found] == [
        ("CaskConvolution", ("fp16",), 2 * 16 * 208 * 208),
        ("Scale", ("int8",), 3 * 8 * 8),
        ("", (), 0),
    ]
    text = layers.as_text(found).splitlines()
    assert text[0] == "3 layers; 1 outputs in fp16, 1 outputs in int8"
    assert "1x16x208x208" in text[3]
    assert max(map(len, text)) < 130
    assert json.loads(layers.as_json(found))["layers"][1]["shapes"] == [[1, 3, 8, 8]]


def test_the_benchmark_says_the_part_of_the_bare_loop() -> None:
    found = Bench("m.onnx", "TensorRT 10.15.1, NVIDIA L4", (Rate("bare", 8, 1, 1000), Rate("slots", 8, 1, 970)))
    *_, slots, missing = found.as_text().splitlines()
    assert slots.split() == ["slots", "8", "1", "970", "97.0%"]
    assert missing.startswith("slots, graphs: not measured")
    assert json.loads(found.as_json())["rates"][1]["frames_per_s"] == 970


def test_progress_adds_up_phases_inside_of_phases() -> None:
    progress = Progress()
    assert (progress.state().share, progress.state().seconds_left) == (0, None)
    progress.phase_start("building", None, 4)
    progress.step_complete("building", 0)
    progress.phase_start("timing", "building", 10)
    shares = []
    for step in range(10):
        assert progress.step_complete("timing", step)
        shares.append(progress.state().share)
    np.testing.assert_allclose(shares, 0.25 + 0.025 * np.arange(1, 11))
    assert progress.state().phase == "timing"
    left = progress.state().seconds_left
    assert left is not None
    assert left >= 0
    progress.phase_finish("timing")
    progress.step_complete("building", 1)
    assert progress.state().share == pytest.approx(0.5)
    # Phases that nobody has started, or that have ended, do no harm.
    assert progress.step_complete("unheard of", 7)
    progress.phase_finish("unheard of")
    progress.stop()
    assert not progress.step_complete("building", 2)


def test_a_watched_build_hands_its_answer_and_its_error_over() -> None:
    def fails() -> None:
        raise UsageError("no")

    assert ahead.watched(lambda: 42) == 42
    with pytest.raises(UsageError, match="no"):
        ahead.watched(fails)


def test_a_watched_build_reads_the_settings_of_the_command(tmp_path: Path) -> None:
    config = tmp_path / "other.toml"
    config.write_text("[tensorrt]\neffort = 1\n", encoding="utf-8")
    with reading(config):
        assert ahead.watched(lambda: load().tensorrt.effort) == 1


def test_ctrl_c_stops_the_build_and_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    progress, begun, ended = Progress(), threading.Event(), threading.Event()

    def work() -> None:
        while progress.step_complete("building", 0):
            begun.set()
            time.sleep(0.1)  # a step takes its time
        ended.set()
        raise BuildStopped

    def interrupted(*_: Any) -> None:
        assert begun.wait(20)
        raise KeyboardInterrupt

    monkeypatch.setattr(ahead, "_draw", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ahead.watched(work, progress)
    assert ended.is_set()


class Terminal:
    """What was written to it."""

    def __init__(self) -> None:
        self.text = ""

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> None:
        self.text += text

    def flush(self) -> None:
        return


def test_a_terminal_shows_share_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, progress = Terminal(), Progress()
    monkeypatch.setattr(sys, "stderr", terminal)
    progress.phase_start("Building engine", None, 2)
    progress.step_complete("Building engine", 0)
    ahead.watched(lambda: eventually(lambda: terminal.text, "it is drawn"), progress)
    assert re.match(r"\rbuilding: 50% after (\d+) s, about \1 s left: Building engine", terminal.text)
    assert terminal.text.endswith("\r")
