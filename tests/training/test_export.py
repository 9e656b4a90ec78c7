"""A checkpoint becomes an ONNX file that answers as the network does, and says what other tools want to know."""

import ast
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from engines.export.layers import GraphWriter, write_layers
from engines.onnx_file import read_onnx
from engines.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from engines.training.network import NetworkConfig, build_network
from engines.training.validation import IOU
from streamer.__main__ import main
from streamer.errors import ModelError

NAMES = ("person", "car")
SMALL = NetworkConfig(2, stem=8, widths=(8, 16, 16, 32), depths=(0, 1, 1, 1), neck=16, head=16)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    network = build_network(SMALL)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):  # a fresh one does nothing, and would hide a mistake in fusing
                module.running_mean.uniform_(-0.1, 0.1)
                module.running_var.uniform_(0.5, 2)
        for branch in network.boxes:
            branch[-1].weight.normal_(0, 0.1)
            branch[-1].bias.copy_(torch.tensor([2.0, -1.0, -2.5, -6.0]))  # boxes that leave centres out, too
    path = tmp_path / "c.pt"
    save_checkpoint(path, Checkpoint(SMALL, NAMES, 96, network.state_dict()))
    return path


def export(model: Path, output: Path, *words: str) -> int:
    return main(["export", str(model), "--output", str(output), *words])


@pytest.mark.parametrize(
    ("words", "size", "batch"),
    [
        ((), (96, 96), 1),
        (("--size", "128", "--batch", "0"), (128, 128), 3),
        (("--size", "128x64"), (128, 64), 1),
    ],
)
def test_answers_as_the_network(
    words: tuple[str, ...], size: tuple[int, int], batch: int, checkpoint: Path, tmp_path: Path
) -> None:
    assert export(checkpoint, tmp_path / "m.onnx", *words) == 0
    width, height = size
    images = torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        wanted = load_checkpoint(checkpoint).plain_network().eval().eval_outputs(images).numpy()
    session = onnxruntime.InferenceSession(str(tmp_path / "m.onnx"), providers=["CPUExecutionProvider"])
    [found] = session.run(["output0"], {"images": images.numpy()})
    assert found.shape == (batch, 6, sum(width * height // side**2 for side in (8, 16, 32)))
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4)


def test_says_what_ultralytics_files_say(checkpoint: Path, tmp_path: Path) -> None:
    assert export(checkpoint, tmp_path / "m.onnx", "--license", "CC-BY-4.0", "--confidence", "0.4") == 0
    said = read_onnx(tmp_path / "m.onnx").metadata
    assert float(said["iou"]) == IOU
    assert float(said["confidence"]) == 0.4
    assert said.keys() >= {"description", "author", "date", "version", "license", "docs", "channels"}
    assert {key: said[key] for key in ("stride", "task", "batch", "license")} == {
        "stride": "32",
        "task": "detect",
        "batch": "1",
        "license": "CC-BY-4.0",
    }
    assert ast.literal_eval(said["names"]) == {0: "person", 1: "car"}
    assert ast.literal_eval(said["imgsz"]) == [96, 96]
    assert ast.literal_eval(said["args"])["nms"] is False


def test_any_number_of_pictures_but_no_other_size(checkpoint: Path, tmp_path: Path) -> None:
    """A named dimension would tell Ultralytics that height and width are open as well."""
    assert export(checkpoint, tmp_path / "m.onnx", "--batch", "0") == 0
    session = onnxruntime.InferenceSession(str(tmp_path / "m.onnx"), providers=["CPUExecutionProvider"])
    assert session.get_inputs()[0].shape == [None, 3, 96, 96]
    assert session.get_outputs()[0].shape == [None, 6, 189]


def test_half_of_a_checkpoint(checkpoint: Path, tmp_path: Path) -> None:
    assert export(checkpoint, tmp_path / "m.onnx", "--precision", "fp16") == 0
    file = read_onnx(tmp_path / "m.onnx")
    assert file.precision == "fp16"
    assert ast.literal_eval(file.metadata["args"])["half"] is True


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["c.pt", "--size", "100"], "--size 100x100: give multiples of 32"),
        (["c.pt", "--size", "4128"], "--size 4128x4128: give multiples of 32, 4096 at most"),
        (["c.pt", "--size", "-32"], "--size -32x-32: give multiples of 32"),
        (["c.pt", "--size", "0"], "--size 0x0: give multiples of 32"),
        (["c.pt", "--size", "96x100"], "--size 96x100: give multiples of 32"),
        (["none.pt"], "none.pt: can't be read: No such file or directory"),
        (["bad.pt"], "bad.pt: not a checkpoint of `streamer train`, or damaged\n"),
        (["foreign.pt"], "foreign.pt: not a checkpoint of `streamer train`, or damaged\n"),
        (["c.pt", "--batch", "-1"], "--batch is -1; give at least 0"),
    ],
)
def test_mistakes(
    words: list[str],
    complaint: str,
    checkpoint: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(checkpoint.parent)
    Path("bad.pt").write_bytes(b"nothing")
    torch.save(nn.ReLU(), "foreign.pt")
    assert main(["export", *words, "--output", "o.onnx"]) == 2
    assert complaint in capsys.readouterr().err


def answers(network: nn.Module, images: torch.Tensor) -> list[np.ndarray]:
    from onnx import TensorProto, helper

    writer = GraphWriter()
    names = write_layers(network.eval(), "images", writer)
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names]
    given = [helper.make_tensor_value_info("images", TensorProto.FLOAT, list(images.shape))]
    graph = helper.make_graph(writer.nodes, "g", given, values, list(writer.weights.values()))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"images": images.numpy()})


@pytest.mark.parametrize(
    "layers",
    [
        [nn.Conv2d(3, 4, 3, 2, 1)],
        [nn.Conv2d(3, 6, (3, 1), 1, (1, 0), groups=3, bias=False), nn.ReLU()],
        [nn.MaxPool2d(5, 1, 2)],
        [nn.MaxPool2d(2)],
        [nn.Upsample(scale_factor=2, mode="nearest")],
        [nn.Conv2d(3, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(4, 3)],
    ],
    ids=lambda layers: type(layers[-1]).__name__,
)
def test_layers(layers: list[nn.Module]) -> None:
    torch.manual_seed(0)
    network, images = nn.Sequential(*layers).eval(), torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        wanted = network(images).numpy()
    np.testing.assert_allclose(answers(network, images)[0], wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layer", [nn.PixelShuffle(2), nn.AdaptiveAvgPool2d(2)])
def test_layers_that_are_not_known(layer: nn.Module) -> None:
    with pytest.raises(ModelError, match=r"can't be exported|only to one value"):
        write_layers(nn.Sequential(layer), "images", GraphWriter())


def weights_of(path: Path) -> Path:
    """A checkpoint at `path` whose weights are twice those of the one beside it."""
    content = load_checkpoint(path.with_name("c.pt"))
    twice = {key: value * 2 if value.is_floating_point() else value for key, value in content.weights.items()}
    save_checkpoint(path, Checkpoint(content.config, content.names, 64, twice))
    return path


def test_the_mean_of_several_as_weights_and_as_a_network(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = weights_of(tmp_path / "twice.pt")
    assert export(checkpoint, tmp_path / "mean.pt", "--average", str(other)) == 0
    assert "mean.pt: weights, " in capsys.readouterr().out
    mean, one = load_checkpoint(tmp_path / "mean.pt"), load_checkpoint(checkpoint)
    assert (mean.config, mean.names, mean.size) == (SMALL, NAMES, 96)
    for key, value in one.weights.items():
        wanted = value * 1.5 if value.is_floating_point() else value
        torch.testing.assert_close(mean.weights[key], wanted, rtol=1e-3, atol=1e-3)  # float16
    assert export(checkpoint, tmp_path / "more.pt", *["--average", str(other)] * 2) == 0
    key = next(key for key, value in one.weights.items() if value.is_floating_point())
    more = load_checkpoint(tmp_path / "more.pt").weights[key]
    torch.testing.assert_close(more, one.weights[key] * 5 / 3, rtol=1e-3, atol=1e-3)
    assert export(checkpoint, tmp_path / "a.onnx", "--average", str(other)) == 0
    assert export(tmp_path / "mean.pt", tmp_path / "b.onnx") == 0
    image = torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(1)).numpy()
    answers = []
    for name in ("a.onnx", "b.onnx"):
        session = onnxruntime.InferenceSession(str(tmp_path / name), providers=["CPUExecutionProvider"])
        answers.append(session.run(["output0"], {"images": image})[0])
    np.testing.assert_allclose(answers[0], answers[1], rtol=0.05, atol=0.05)


@pytest.mark.parametrize(
    ("output", "words", "message"),
    [
        ("m.onnx", ("--average", "none.pt"), "none.pt: can't be read"),
        ("m.onnx", ("--average", "other.pt"), "other.pt is of classes other than"),
        ("m.pt", (), "a checkpoint only of several"),
        ("m.pt", ("--average", "c.pt", "--precision", "fp16"), "--precision and --measure are for ONNX files"),
        ("m.pt", ("--average", "c.pt", "--confidence", "0.4"), "are said when an ONNX file is made of it"),
        ("m.pt", ("--average", "c.pt", "--size", "128"), "are said when an ONNX file is made of it"),
    ],
)
def test_means_that_there_are_not(
    checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    output: str,
    words: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    content = load_checkpoint(checkpoint)
    save_checkpoint(tmp_path / "other.pt", Checkpoint(SMALL, ("person", "bus"), 96, content.weights))
    assert export(checkpoint, Path(output), *words) == 2
    assert message in capsys.readouterr().err
    assert not Path(output).exists()
