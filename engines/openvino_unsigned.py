"""Signed 8-bit activations as unsigned ones, where that changes no value.

OpenVINO computes with unsigned activations on processors without VNNI, and makes signed ones unsigned itself, by
adding 128. That goes wrong twice (seen with 2026.4): behind a concatenation the 128 is not taken off again, and sums
of two products no longer fit into 16 bits. What is never negative, as behind a ReLU, has the same 8-bit values, from
0 to 127, in both; and two products of such a value and a weight do fit.
"""

from typing import Any

import numpy as np

_POSITIVE = frozenset(("Parameter", "Relu", "Sigmoid", "Exp"))  # the parameter is a picture
_PASSING_ON = frozenset(
    ("AvgPool", "Convert", "FakeQuantize", "Interpolate", "MaxPool", "ReduceMean", "Reshape", "Split", "Transpose")
)
_OF_ALL = frozenset(("Add", "Concat", "Maximum", "Multiply"))


def use_unsigned(openvino: Any, model: Any) -> None:
    """Changes a model that was read from a QDQ file of a network that takes a picture."""
    order = model.get_ordered_ops()
    positive = _never_negative(order)
    for quantize in order:
        if quantize.get_friendly_name() not in positive or not _is_signed(quantize):
            continue
        [converted] = quantize.output(0).get_target_inputs()
        if converted.get_node().get_element_type().get_type_name() == "i8":
            converted.get_node().output(0).replace(_unsigned(openvino, quantize))


def _never_negative(order: list[Any]) -> frozenset[str]:
    """Names of the operators whose results can't be below 0. order: every operator behind those before it."""
    zero: set[str] = set()
    positive: set[str] = set()
    for node in order:
        name, kind = node.get_friendly_name(), node.get_type_name()
        given = [each.get_node().get_friendly_name() for each in node.input_values()]
        if kind == "Constant":
            values = node.get_data()
            if not values.any():
                zero.add(name)
            known = bool((values >= 0).all())
        elif kind in _PASSING_ON:
            if given[0] in zero:
                zero.add(name)
            known = given[0] in positive
        elif kind == "Subtract":  # of a zero point, which is 0
            known = given[0] in positive and given[1] in zero
        else:
            known = kind in _POSITIVE or (kind in _OF_ALL and positive.issuperset(given))
        if known:
            positive.add(name)
    return frozenset(positive)


def _is_signed(quantize: Any) -> bool:
    """Whether it rounds to -128 .. 127 with a zero point of 0, all with one scale."""
    ends = [each.get_node() for each in quantize.input_values()[1:]]
    if len(ends) != 4 or any(end.get_type_name() != "Constant" or end.get_data().size != 1 for end in ends):
        return False
    low, high, lowest, highest = (float(end.get_data().reshape(-1)[0]) for end in ends)
    return (lowest, highest) == (-128, 127) and bool(np.isclose(low * 127, high * -128))


def _unsigned(openvino: Any, quantize: Any) -> Any:
    """The same steps up to 127, of 255 that there could be."""
    ops = openvino.opset13
    largest = float(quantize.input_value(2).get_node().get_data().reshape(-1)[0])
    limited = ops.clamp(quantize.input_value(0), 0.0, largest)
    ends = [ops.constant(np.float32(end)) for end in (0, largest / 127 * 255, 0, 255)]
    return ops.convert(ops.fake_quantize(limited, *ends, 256), "u8").output(0)
