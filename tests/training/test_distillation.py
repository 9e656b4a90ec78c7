"""A teacher asked about every cell: what it says, how far its pupil is from it, and a pupil that comes to agree."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from engines.training.batches import Batch
from engines.training.checkpoint import load_checkpoint
from engines.training.distillation import Distillation, Lesson, cell_loss, divergence, unlikeness
from engines.training.network import NetworkConfig, build_network
from engines.training.teacher_network import TeacherNetwork
from streamer.__main__ import main
from streamer.errors import ModelError
from tests.training.drawn import NAMES, SIDE, draw
from tests.training.test_live_teacher import CPU, teacher_file  # noqa: F401
from tests.unit.networks import save

CHANNELS, CONFIG = 4, NetworkConfig(2, 4, (4, 4, 4, 4), (0, 1, 1, 1), 4, 4)


@pytest.fixture(scope="module")
def yolox(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A YOLOX for pictures of any size: at each stride one convolution for features, one for the answer."""
    random, nodes, weights = np.random.default_rng(3), [], []

    def convolve(given: str, inputs: int, outputs: int, stride: int) -> str:
        name = f"c{len(nodes)}"
        kernel = random.standard_normal((outputs, inputs, stride, stride)).astype(np.float32) / stride
        bias = np.full(outputs, -1.0, np.float32)
        weights.extend([numpy_helper.from_array(kernel, f"{name}w"), numpy_helper.from_array(bias, f"{name}b")])
        nodes.append(helper.make_node("Conv", [given, f"{name}w", f"{name}b"], [name], strides=[stride, stride]))
        return name

    weights.append(numpy_helper.from_array(np.array([1, 7, -1], np.int64), "rows"))
    weights.append(numpy_helper.from_array(np.array([0.01], np.float32), "small"))
    nodes.append(helper.make_node("Mul", ["images", "small"], ["scaled"]))
    levels = []
    for stride in (8, 16, 32):
        found = convolve("scaled", 3, CHANNELS, stride)
        nodes.append(helper.make_node("Sigmoid", [found], [f"{found}s"]))
        nodes.append(helper.make_node("Mul", [found, f"{found}s"], [f"{found}m"]))
        boxes, rest = convolve(f"{found}m", CHANNELS, 4, 1), convolve(f"{found}m", CHANNELS, 3, 1)
        nodes.append(helper.make_node("Sigmoid", [rest], [f"{rest}s"]))
        nodes.append(helper.make_node("Concat", [boxes, f"{rest}s"], [f"{rest}a"], axis=1))
        nodes.append(helper.make_node("Reshape", [f"{rest}a", "rows"], [f"{rest}r"]))
        levels.append(f"{rest}r")
    nodes.append(helper.make_node("Concat", levels, ["all"], axis=2))
    nodes.append(helper.make_node("Transpose", ["all"], ["output"], perm=[0, 2, 1]))
    given = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 96, 96])
    found = helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 189, 7])
    path = tmp_path_factory.mktemp("yolox") / "yolox.onnx"
    save(
        helper.make_graph(nodes, "yolox", [given], [found], weights), path, {"names": str(list(NAMES)), "head": "yolox"}
    )
    return path


def lesson(logits: torch.Tensor) -> Lesson:
    """Of cells at 64 pixels, each with a box of 16 pixels about its corner."""
    boxes = torch.tensor([0.0, 0.0, 16.0, 16.0]).expand(1, 84, 4)
    return Lesson(boxes, logits.sigmoid(), [])


def levels(logits: torch.Tensor) -> list[torch.Tensor]:
    """A pupil's answer of the logits (1, 84, 2), boxes of 5 cells."""
    answer = torch.cat([torch.full((1, 84, 4), math.log(2.5)), logits], 2).transpose(1, 2)
    return [part.reshape(1, 6, side, side) for part, side in zip(answer.split([64, 16, 4], 2), (8, 4, 2), strict=True)]


def batch(known: bool = False, taught: bool = True) -> Batch:
    return Batch(
        torch.zeros(1, 3, 64, 64), torch.zeros(1, 1, 4), torch.full((1, 1), -1), torch.zeros(1, 1),
        torch.zeros(1, 1, dtype=torch.bool), torch.tensor([[[0.0, 0.0, 64.0, 64.0]]]),
        torch.full((1, 1, 2), known), torch.tensor([[taught]]),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("probability", "wanted", "loss"),
    [
        (0.3, 0.3, 0.0),
        (0.5, 0.0, math.log(2)),
        (0.2, 0.7, 0.7 * math.log(0.7 / 0.2) + 0.3 * math.log(0.3 / 0.8)),
    ],
)
def test_divergence(probability: float, wanted: float, loss: float) -> None:
    logit = torch.tensor([math.log(probability / (1 - probability))])
    assert divergence(logit, torch.tensor([wanted])).item() == pytest.approx(loss, abs=2e-5)


def test_features_are_compared_whatever_their_scale() -> None:
    features = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    assert unlikeness(5 * features + 2, features).item() == pytest.approx(0, abs=1e-5)
    assert unlikeness(-features, features).item() == pytest.approx(2, abs=1e-5)
    assert torch.isfinite(unlikeness(torch.zeros_like(features), features))


def test_a_pupil_is_drawn_to_what_its_teacher_says() -> None:
    logits = torch.full((1, 84, 2), -3.0, requires_grad=True)
    wanted = torch.full((1, 84, 2), -3.0)
    wanted[0, 5] = torch.tensor([2.0, -6.0])
    cell_loss(levels(logits), batch(), lesson(wanted), torch.tensor([0, 1])).backward()
    assert logits.grad is not None
    assert logits.grad[0, 5, 0] < 0 < logits.grad[0, 5, 1]
    assert logits.grad[0, 6].abs().max().item() == pytest.approx(0, abs=1e-6)


def test_classes_are_told_apart_by_the_pupils_numbers() -> None:
    logits = torch.full((1, 84, 2), -3.0)
    logits[0, 5, 1] = 2.0
    said = replace(lesson(logits), probabilities=logits[..., 1:].sigmoid())
    same, other = (cell_loss(levels(logits), batch(), said, torch.tensor([number])) for number in (1, 0))
    assert same < other


def test_a_teacher_counts_half_where_there_are_labels() -> None:
    logits, wanted = torch.full((1, 84, 2), -3.0), torch.full((1, 84, 2), -20.0)
    found = [
        cell_loss(levels(logits), batch(known), lesson(wanted), torch.tensor([0, 1])).item() for known in (True, False)
    ]
    assert found[0] == pytest.approx(found[1] / 2, rel=1e-3)


@pytest.mark.parametrize("known", [True, False])
def test_a_teacher_has_no_say_in_what_it_does_not_know(known: bool) -> None:
    logits, wanted = torch.full((1, 84, 2), -3.0, requires_grad=True), torch.full((1, 84, 2), 4.0)
    loss = cell_loss(levels(logits), batch(known, taught=False), lesson(wanted), torch.tensor([0, 1]))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_a_lesson_has_the_pupils_cells_at_any_size(yolox: Path) -> None:
    pupil = build_network(CONFIG)
    distillation = Distillation(TeacherNetwork(yolox, NAMES, CPU), pupil)
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    said, features = distillation.lesson(images), pupil.features(images)
    assert said.boxes.shape == (2, 84, 4)
    assert said.probabilities.shape == (2, 84, 2)
    assert [tuple(each.shape) for each in said.features] == [(2, CHANNELS, side, side) for side in (8, 4, 2)]
    assert distillation(features, pupil.answer(features), replace(batch(), images=images), said).item() > 0


def test_a_gate_that_others_read_too_stays(tmp_path: Path) -> None:
    from engines.training.onnx_network import OnnxNetwork

    nodes = [
        helper.make_node("Sigmoid", ["images"], ["gate"]),
        helper.make_node("Mul", ["images", "gate"], ["product"]),
        helper.make_node("Add", ["product", "gate"], ["output"]),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, 2, 2]) for name in ("images", "output")]
    file = tmp_path / "gate.onnx"
    onnx.save(helper.make_model(helper.make_graph(nodes, "gate", ends[:1], ends[1:])), file)
    given = torch.randn(1, 1, 2, 2, generator=torch.Generator().manual_seed(2))
    [found] = OnnxNetwork(file, CPU)(given)
    torch.testing.assert_close(found, given * given.sigmoid() + given.sigmoid())


def test_other_layouts_can_not_be_asked_about_cells(teacher_file: Path) -> None:  # noqa: F811
    with pytest.raises(ModelError, match="layout yolov8 can't be asked about every cell: --distil live"):
        Distillation(TeacherNetwork(teacher_file, ("bus",), CPU), build_network(CONFIG))


def test_a_training_with_a_teacher_goes_on_after_a_stop(yolox: Path, tmp_path: Path) -> None:
    data = draw(tmp_path / "data")
    command = ["train", str(data), "--sizes", str(SIDE), "--batch", "4", "--val", "none", "--device", "cpu", "--epochs",
               "2", "--teacher", str(yolox), "--distil", "dense", "--labelled", "a=box", "--mosaic", "0"]  # fmt: skip
    for name, more in (("whole", ()), ("parts", ("--max-minutes", "1e-9")), ("parts", ())):
        assert main([*command, "--threads", "2", "--output", str(tmp_path / name), *more]) == 0
    whole, parts = (load_checkpoint(tmp_path / name / "last.pt") for name in ("whole", "parts"))
    assert whole.training
    assert parts.training
    learnt = whole.training["distillation"]
    assert set(learnt) == {f"translators.{level}.{kind}" for level in range(3) for kind in ("weight", "bias")}
    for mine, its in ((whole.weights, parts.weights), (learnt, parts.training["distillation"])):
        assert all(torch.allclose(mine[key], its[key], atol=1e-5) for key in mine)
