"""Cuts NonMaxSuppression off an end-to-end model, for NMS of our own behind the engine.

NMS in a model has outputs whose size depends on the picture: TensorRT can put them into no CUDA graph, and
TensorRT-RTX can't build them. What is left answers in YOLOv8's layout, (pictures, 4 + classes, boxes).
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper, shape_inference

from streamer.errors import ModelError

HEAD = "yolov8"
OUTPUT = "boxes_before_nms"
_NMS = "NonMaxSuppression"
_CHOOSING = (_NMS, "NonZero", "Compress", "Unique")  # what they give is as long as the picture makes it
_WITHOUT_VALUES = ("Shape", "Size")

Shape = tuple[int | str, ...]


def cut_nms(model: Any, classes: int, name: str) -> str | None:
    """Cuts in place; the head that reads the new output, None if the model has no NMS. name: for messages.

    Raises:
        ModelError: it is not found what its NMS chooses from.
    """
    chooses = [node for node in model.graph.node if node.op_type == _NMS]
    if not chooses:
        return None
    view = _View(model)
    whole = view.whole_answer(classes)
    if whole:
        _finish(model, whole, view.dtype(whole), [whole])
        return HEAD
    if len(chooses) == 1:
        writer = _Writer(model, view.dtype(chooses[0].input[0]))
        answer = _from_choice(view, chooses[0], writer, classes)
        if answer and not any(each.op_type in _CHOOSING for each in _needed(list(model.graph.node), answer)):
            _finish(model, answer, writer.dtype, [])
            return HEAD
    where = chooses[0].name or chooses[0].output[0]
    raise ModelError(
        f"{name}: what NonMaxSuppression node {where} chooses from isn't boxes and scores of a size that is known; "
        "export the model without NMS (Ultralytics: nms=False)"
    )


class _View:
    """Where values of a graph come from, and their shapes."""

    def __init__(self, model: Any) -> None:
        inferred = shape_inference.infer_shapes(model).graph
        self.nodes = list(model.graph.node)
        self.inputs = {given.name for given in model.graph.input} - {each.name for each in model.graph.initializer}
        self.outputs = {given.name for given in model.graph.output}
        self._types = {
            each.name: each.type.tensor_type for each in (*inferred.value_info, *inferred.input, *inferred.output)
        }
        self.of_picture = self.behind(self.inputs)

    def shape(self, name: str) -> Shape:
        """Sizes, or names of open ones ("" where it isn't known)."""
        kind = self._types.get(name)
        if kind is None or not kind.HasField("shape"):
            return ()
        return tuple(each.dim_value or each.dim_param for each in kind.shape.dim)

    def dtype(self, name: str) -> int:
        """Of a value, as TensorProto numbers it; float32 if it isn't known."""
        return int(self._types[name].elem_type if name in self._types else onnx.TensorProto.FLOAT)

    def behind(self, values: Iterable[str], without: str = "") -> frozenset[str]:
        """These values and all that is computed from them, but for what goes through `without`."""
        found = set(values)
        for node in self.nodes:  # ONNX lists each behind those that it needs
            if node.op_type not in _WITHOUT_VALUES and found.intersection(node.input):
                found.update(each for each in node.output if each != without)
        return frozenset(found)

    def whole_answer(self, classes: int) -> str | None:
        """The last value in YOLOv8's layout through which all that the outputs say of the picture goes."""
        for node in reversed(self.nodes):
            for name in node.output:
                shape = self.shape(name)
                fits = len(shape) == 3 and shape[1] == 4 + classes and isinstance(shape[2], int) and shape[2] > 0
                if fits and not self.behind(self.inputs, without=name) & self.outputs:
                    return str(name)
        return None

    def chosen_from(self, node: Any) -> list[str]:
        """What of the picture is read together with the choice of an NMS node."""
        later = self.behind(node.output)
        readers = [each for each in self.nodes if later.intersection(each.input) and each is not node]
        read = [name for reader in readers for name in reader.input]
        return [name for name in dict.fromkeys(read) if name in self.of_picture and name not in later]


class _Writer:
    """Adds nodes to a graph. dtype: of the floats."""

    def __init__(self, model: Any, dtype: int) -> None:
        self.dtype = dtype
        self._graph = model.graph
        self._count = 0

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """The name of what a new node gives."""
        self._count += 1
        name = f"before_nms_{self._count}"
        self._graph.node.append(helper.make_node(operator, [*inputs], [name], name=name, **attributes))
        return name

    def constant(self, values: Any, integers: bool = False) -> str:
        """The name of a new constant."""
        self._count += 1
        kind = np.int64 if integers else helper.tensor_dtype_to_np_dtype(self.dtype)
        self._graph.initializer.append(numpy_helper.from_array(np.asarray(values, kind), f"before_nms_{self._count}"))
        return f"before_nms_{self._count}"

    def columns(self, rows: str, start: int, end: int) -> str:
        """Part of (pictures, boxes, columns)."""
        return self.add("Slice", rows, *(self.constant([each], integers=True) for each in (start, end, 2)))

    def turned(self, rows: str) -> str:
        """(pictures, boxes, columns) to (pictures, columns, boxes)."""
        return self.add("Transpose", rows, perm=[0, 2, 1])


def _from_choice(view: _View, node: Any, writer: _Writer, classes: int) -> str | None:
    """The answer in YOLOv8's layout, of what one NMS node chooses from."""
    read = view.chosen_from(node)
    shapes = {name: view.shape(name) for name in read}
    rows = [name for name, shape in shapes.items() if len(shape) == 3 and shape[2] == 6]
    if len(rows) == 1:
        scores = _one_per_class(rows[0], writer, classes)
        return _joined(_centred(rows[0], writer), scores, writer)
    per_class = view.shape(node.input[1])
    if len(per_class) != 3 or per_class[1] != classes:
        return None
    centred = any(each.name == "center_point_box" and each.i for each in node.attribute)
    corners = [name for name, shape in shapes.items() if len(shape) == 3 and shape[2] == 4]
    # What is given out has left before top; what NMS alone sees may have it the other way round.
    if corners and corners != [node.input[0]]:
        return _joined(_centred(corners[0], writer), node.input[1], writer) if len(corners) == 1 else None
    boxes = writer.turned(node.input[0]) if centred else _centred(node.input[0], writer)
    return _joined(boxes, node.input[1], writer)


def _centred(rows: str, writer: _Writer) -> str:
    """(pictures, 4, boxes): centre x and y, width and height; rows start with left, top, right, bottom."""
    first, last = writer.columns(rows, 0, 2), writer.columns(rows, 2, 4)
    centre = writer.add("Mul", writer.add("Add", first, last), writer.constant(0.5))
    return writer.turned(writer.add("Concat", centre, writer.add("Sub", last, first), axis=2))


def _one_per_class(rows: str, writer: _Writer, classes: int) -> str:
    """(pictures, classes, boxes): the score where it is the box's class, else 0; rows end with score and class."""
    score, kind = (writer.turned(writer.columns(rows, start, start + 1)) for start in (4, 5))
    numbers = writer.constant(np.arange(classes).reshape(1, -1, 1))
    # Floats can't be compared for equality in every version of ONNX.
    distance = writer.add("Abs", writer.add("Sub", kind, numbers))
    same = writer.add("Cast", writer.add("Less", distance, writer.constant(0.5)), to=writer.dtype)
    return writer.add("Mul", same, score)


def _joined(boxes: str, scores: str, writer: _Writer) -> str:
    return writer.add("Concat", boxes, scores, axis=1)


def _finish(model: Any, answer: str, dtype: int, known: list[str]) -> None:
    """Makes `answer` the only output, and drops what nothing needs any more."""
    graph = model.graph
    kept = _needed(list(graph.node), answer)
    name = answer if known else OUTPUT
    for node in kept:
        node.output[:] = [name if each == answer else each for each in node.output]
    used = {each for node in kept for each in node.input}
    weights = [weight for weight in graph.initializer if weight.name in used]
    del graph.node[:], graph.output[:], graph.value_info[:], graph.initializer[:]
    graph.node.extend(kept)
    graph.initializer.extend(weights)
    graph.output.append(helper.make_tensor_value_info(name, dtype, None))
    inferred = shape_inference.infer_shapes(model)
    graph.output[0].CopyFrom(inferred.graph.output[0])
    onnx.checker.check_model(model)


def _needed(nodes: list[Any], answer: str) -> list[Any]:
    wanted, chosen = {answer}, []
    for node in reversed(nodes):
        if wanted.intersection(node.output):
            wanted.update(node.input)
            chosen.append(node)
    return chosen[::-1]
