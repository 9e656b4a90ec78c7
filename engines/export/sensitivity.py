"""Which convolutions suffer from 8 bits, and how much."""

import itertools
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from engines.export.qdq import quantised

_PICTURES = 16  # per layer; the order of the worst layers is the same with 64


def damage(
    model: Any,
    limits: Mapping[str, float],
    layers: Collection[str],
    batches: Iterable[NDArray[Any]],
    one_more: Callable[[], None] = lambda: None,
) -> dict[str, float]:
    """Per layer, what its 8 bits alone do to the network's answers: noise over signal, the worst first.

    Signal is how much an answer differs from picture to picture; most of an answer is where grid cells lie.
    """
    few = list(itertools.islice(batches, _PICTURES))
    exact = _answers(model, few)
    signal = [answer.var(axis=0).mean(axis=-1) for answer in exact]
    found = {}
    for layer in layers:
        changed = _answers(quantised(model, limits, [layer]), few)
        noise = [((new - old) ** 2).mean(axis=(0, -1)) for new, old in zip(changed, exact, strict=True)]
        found[layer] = max(_ratio(*pair) for pair in zip(noise, signal, strict=True))
        one_more()
    return dict(sorted(found.items(), key=lambda pair: -pair[1]))


def _ratio(noise: NDArray[Any], signal: NDArray[Any]) -> float:
    """Of the whole answer, all its rows counted alike: a coordinate's pixels aren't a probability's per cent."""
    known = signal > 0
    return float(np.mean(noise[known] / signal[known])) if known.any() else 0.0


def _answers(model: Any, batches: Iterable[NDArray[Any]]) -> list[NDArray[np.float64]]:
    """Each output for all pictures: (pictures, values of one kind, their places)."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    [image] = [each.name for each in session.get_inputs()]
    answers = [session.run(None, {image: batch}) for batch in batches]
    return [_rows(np.concatenate(of_one).astype(np.float64)) for of_one in zip(*answers, strict=True)]


def _rows(answer: NDArray[np.float64]) -> NDArray[np.float64]:
    """(pictures, kinds, places), whichever of the two axes comes first; kinds are fewer than places."""
    if answer.ndim != 3:
        return answer.reshape(len(answer), 1, -1)
    return answer if answer.shape[1] < answer.shape[2] else answer.transpose(0, 2, 1)
