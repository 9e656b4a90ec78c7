"""A detector of ours as an ONNX model in YOLOv8's layout, which most tools read."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper
from torch import nn

from engines.export.layers import GraphWriter, write_layers
from engines.training.network import LARGEST_DISTANCE, SMALLEST_DISTANCE, STRIDES, anchors

OPSET = 17
IR_VERSION = 8  # that of opset 17's time: readers of 2022 and later take it
IMAGE, OUTPUT = "images", "output0"  # the names that Ultralytics gives
# Any number of pictures, by a dimension without a name: from a name Ultralytics gathers that height and width are open,
# too, and fills pictures up to the next multiple of 32 only.
OPEN = None


def detector_model(
    network: nn.Module, classes: int, size: tuple[int, int], batch: int, properties: Mapping[str, str]
) -> Any:
    """The ONNX model of a network in eval mode.

    Its input: `images`, float32 (batch, 3, height, width), RGB, 0 to 1. Its output: `output0`, float32 (batch,
    4 + classes, anchors): centre x and y, width and height in pixels of the input, and class probabilities.

    size: width and height of the input, in pixels.
    network: as of engines.training.network, gives logarithms and logits per stride. batch: 0: any number.
    properties: the metadata.

    Raises:
        ModelError: the network has a layer that can't be exported.
    """
    writer = GraphWriter()
    levels = write_layers(network, IMAGE, writer)
    _boxes(levels, classes, size, writer)
    pictures = batch or OPEN
    width, height = size
    count = sum((width // stride) * (height // stride) for stride in STRIDES)
    graph = helper.make_graph(
        writer.nodes,
        "detector",
        [helper.make_tensor_value_info(IMAGE, TensorProto.FLOAT, [pictures, 3, height, width])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [pictures, 4 + classes, count])],
        list(writer.weights.values()),
    )
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="streamer")
    helper.set_model_props(model, dict(properties))
    onnx.checker.check_model(model, full_check=True)
    return model


def _boxes(levels: list[str], classes: int, size: tuple[int, int], writer: GraphWriter) -> None:
    """From logarithms of distances and logits, per level, to `output0`; as `engines.training.network.finished`."""
    centres, strides = _cells(size)
    flat = writer.weight("rows", np.array([0, 4 + classes, -1], np.int64))
    rows = [writer.node("Reshape", [level, flat], f"{level}.rows") for level in levels]
    answer = writer.node("Concat", rows, "answer", axis=2)
    _split(writer, answer, ["logarithms", "logits"], [4, classes])
    cells = _distances(writer, "logarithms")
    distances = writer.node("Mul", [cells, writer.weight("strides", strides)], "distances")
    _split(writer, distances, ["before", "after"], [2, 2])
    shift = writer.node("Sub", ["after", "before"], "twice_shift")
    shift = writer.node("Mul", [shift, writer.weight("half", np.float32(0.5))], "shift")
    middle = writer.node("Add", [shift, writer.weight("centres", centres)], "middle")
    extent = writer.node("Add", ["before", "after"], "extent")
    probabilities = writer.node("Sigmoid", ["logits"], "probabilities")
    writer.node("Concat", [middle, extent, probabilities], OUTPUT, axis=1)


def _distances(writer: GraphWriter, logarithms: str) -> str:
    """As `engines.training.network.distances`."""
    smallest = writer.weight("smallest_distance", np.float32(SMALLEST_DISTANCE))
    largest = writer.weight("largest_distance", np.float32(LARGEST_DISTANCE))
    inside = writer.node("Exp", [writer.node("Clip", [logarithms, smallest, largest], "limited")], "inside")
    below = writer.node("Sub", [writer.node("Clip", [logarithms, "", smallest], "low"), smallest], "below")
    beyond = writer.node("Mul", [below, writer.weight("least", np.float32(math.exp(SMALLEST_DISTANCE)))], "beyond")
    return writer.node("Add", [inside, beyond], "cells")


def _split(writer: GraphWriter, given: str, parts: list[str], sizes: list[int]) -> None:
    """Along the channels."""
    lengths = writer.weight(f"{given}.sizes", np.array(sizes, np.int64))
    writer.nodes.append(helper.make_node("Split", [given, lengths], parts, name=f"{given}.split", axis=1))


def _cells(size: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Centres (1, 2, anchors) in pixels, and strides (1, 1, anchors)."""
    width, height = size
    centres, strides = anchors([torch.empty(1, 1, height // stride, width // stride) for stride in STRIDES])
    return centres.T[None].numpy(), strides[None, None].numpy()
