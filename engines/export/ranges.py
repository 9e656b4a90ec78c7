"""How large a network's activations become, on pictures like those that it will see."""

from collections.abc import Collection, Iterable, Iterator
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

_BINS = 2048
_LEVELS = 127  # of a sign; symmetric 8 bits go from -127 to 127
_SHARES = np.linspace(0.3, 1, 141)  # of the largest value, that are tried as the limit


def activation_limits(model: Any, names: Collection[str], batches: Iterable[NDArray[Any]]) -> dict[str, float]:
    """For each value of the graph: up to where 8 bits should reach, so that the squared error is the least.

    Rounding costs a twelfth of a step squared, clipping what is clipped (Banner et al. 2019, arXiv:1810.05723; here by
    trying all limits on a histogram).

    batches: pictures as the network takes them; read twice, so no generator.
    """
    session = _session(model, names)
    largest = dict.fromkeys(names, 0.0)
    for name, values in _values(session, names, batches):
        largest[name] = max(largest[name], float(np.abs(values).max()))
    histograms = {name: np.zeros(_BINS) for name in names}
    for name, values in _values(session, names, batches):
        counts, _ = np.histogram(np.abs(values), _BINS, (0, largest[name] or 1))
        histograms[name] += counts
    return {name: _best_limit(histograms[name], largest[name] or 1) for name in names}


def _values(
    session: "onnxruntime.InferenceSession", names: Collection[str], batches: Iterable[NDArray[Any]]
) -> Iterator[tuple[str, NDArray[Any]]]:
    """Each of the named values for each batch."""
    [image] = [each.name for each in session.get_inputs()]
    inner = sorted(set(names) - {image})
    for batch in batches:
        if image in names:
            yield image, batch
        if inner:
            yield from zip(inner, session.run(inner, {image: batch}), strict=True)


def _best_limit(histogram: NDArray[np.float64], largest: float) -> float:
    centres = (np.arange(_BINS) + 0.5) * largest / _BINS
    limits = _SHARES * largest
    clipped = np.maximum(centres - limits[:, None], 0) ** 2 @ histogram
    # Zeros, half of what is behind a ReLU, are exact at any step.
    rounded = (limits / _LEVELS) ** 2 / 12 * histogram[1:].sum()
    return float(limits[np.argmin(clipped + rounded)])


def _session(model: Any, names: Collection[str]) -> "onnxruntime.InferenceSession":
    """The model with these values as further outputs."""
    opened = onnx.ModelProto()
    opened.CopyFrom(model)
    inner = set(names) - {each.name for each in opened.graph.input} - {each.name for each in opened.graph.output}
    opened.graph.output.extend(onnx.ValueInfoProto(name=name) for name in sorted(inner))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(opened.SerializeToString(), options, providers=["CPUExecutionProvider"])
