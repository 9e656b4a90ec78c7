"""A classifier of ours as an ONNX model, in the layout of torchvision's and Ultralytics' classifiers."""

from collections.abc import Mapping
from typing import Any

import onnx
from onnx import TensorProto, helper
from torch import nn

from engines.export.detector_graph import IMAGE, IR_VERSION, OPEN, OPSET, OUTPUT
from engines.export.layers import GraphWriter, write_layers


def classifier_model(
    network: nn.Module, classes: int, size: tuple[int, int], batch: int, properties: Mapping[str, str]
) -> Any:
    """The ONNX model of a network in eval mode that gives logits (batch, classes).

    Its input: `images`, float32 (batch, 3, height, width), RGB, 0 to 1. Its output: `output0`, float32 (batch,
    classes), probabilities. size: width and height. batch: 0: any number. properties: the metadata.

    Raises:
        ModelError: the network has a layer that can't be exported.
    """
    writer = GraphWriter()
    [logits] = write_layers(network, IMAGE, writer)
    writer.node("Softmax", [logits], OUTPUT, axis=1)
    pictures = batch or OPEN
    graph = helper.make_graph(
        writer.nodes,
        "classifier",
        [helper.make_tensor_value_info(IMAGE, TensorProto.FLOAT, [pictures, 3, size[1], size[0]])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [pictures, classes])],
        list(writer.weights.values()),
    )
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="streamer")
    helper.set_model_props(model, dict(properties))
    onnx.checker.check_model(model, full_check=True)
    return model
