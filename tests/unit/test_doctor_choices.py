"""`streamer doctor` looks at the model, engine, head and hardware decoder that the settings choose."""

import sys
from collections.abc import Mapping
from types import SimpleNamespace

import av
import pytest

from streamer.doctor.choices import check_choices
from streamer.settings import load


def found(detect: Mapping[str, object], hwaccel: str = "", roles: set[str] | None = None) -> list[str]:
    settings = load(environ={}, overrides={"detect": detect, "produce": {"hwaccel": hwaccel}})
    return [f"{finding.level} {finding.text}" for finding in check_choices(settings, roles or set())]


def test_what_is_set_can_be_used() -> None:
    assert found({}) == ["ok a worker can use model street-wide, engine onnxruntime, head auto"]


@pytest.mark.parametrize(
    ("detect", "words"),
    [
        ({"model": ""}, "no model: set detect.model to an ONNX file, or to street-wide"),
        ({"model": "no.onnx"}, "[detect] model no.onnx, engine onnxruntime, head auto: no.onnx: no such file; name"),
        ({"model": __file__}, "this is not an ONNX file"),
        ({"engine": "onnx"}, "no engine is called 'onnx'; installed are: "),
        ({"engine": "openvino"}, "engine openvino is not installed: `pip install -e '.[openvino]'` in stream"),
        ({"head": "yolo"}, "no head is called 'yolo'; installed are: "),
        ({"classes": ["persn"]}, "has no class 'persn'; did you mean person"),
    ],
)
def test_what_no_worker_could_use(detect: Mapping[str, object], words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    [line] = found(detect)
    assert line.startswith("bad ")
    assert words in line
    assert found(detect, roles={"worker"}) == [line]
    [noted] = found(detect, roles={"producer"})
    assert noted.startswith("note ")


@pytest.fixture
def devices(monkeypatch: pytest.MonkeyPatch) -> None:
    """An FFmpeg that knows two kinds of device, one of which is there."""

    def create(codec: str, mode: str, hwaccel: SimpleNamespace) -> None:
        if hwaccel.device_type == "cuda":
            raise av.error.PermissionError(1, "Operation not permitted")

    module = SimpleNamespace(hwdevices_available=lambda: ["cuda", "qsv"], HWAccel=SimpleNamespace)
    monkeypatch.setitem(sys.modules, "av.codec.hwaccel", module)
    monkeypatch.setattr(av, "CodecContext", SimpleNamespace(create=create))


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("nvdec", "bad produce.hwaccel = 'nvdec': this FFmpeg knows cuda, qsv; leave it empty for none"),
        ("cuda", "bad produce.hwaccel = 'cuda' can't be opened here ([Errno 1] Operation not permitted): install its "),
        ("qsv", "ok hardware decoder qsv"),
    ],
)
def test_the_hardware_decoder(name: str, line: str, devices: None) -> None:
    [_, said] = found({}, name)
    assert said.startswith(line)
    [_, for_workers] = found({}, name, roles={"worker"})
    assert for_workers.startswith("ok " if name == "qsv" else "note ")


def test_a_decoder_that_is_not_here_is_found_out_for_real() -> None:
    [_, said] = found({}, "no-such-device")
    assert said.startswith("bad produce.hwaccel = 'no-such-device': this FFmpeg knows ")
