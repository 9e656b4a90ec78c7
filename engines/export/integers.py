"""A model in 8 bits that finds as much as it did, but for what is allowed to be lost."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from engines.export.graph_reading import convolutions, last_convolutions
from engines.export.qdq import quantised
from engines.export.ranges import activation_limits
from engines.export.sensitivity import damage
from streamer.errors import ModelError

Judge = Callable[[Any], float]
"""How much a model finds: AP50 on pictures that it wasn't calibrated with."""


@dataclass(frozen=True, slots=True, eq=False)
class Quantised:
    """model: in 8 bits. layers: how many convolutions it has. left_alone: those in float32. lost: of the judge's."""

    model: Any
    layers: int
    left_alone: tuple[str, ...]
    lost: float


def to_integers(
    model: Any,
    batches: Iterable[NDArray[Any]],
    judge: Judge,
    allowed: float,
    say: Callable[[str], None] = lambda _: None,
) -> Quantised:
    """The model with all convolutions in 8 bits but the last ones and those that cost too much.

    Which these are is measured: the layers that do the most damage are left alone, 1, 2, 4, 8 .. of them, until no
    more than `allowed` is lost. batches: pictures as the network takes them; read several times.

    Raises:
        ModelError: it has no convolutions with constant weights, or more is lost even with half of them left alone.
    """
    found = convolutions(model)
    last = last_convolutions(model)
    layers = [name for name in found if name not in last]
    if not layers:
        raise ModelError("no convolution to quantise: it has none, or only in 8 bits already")
    limits = activation_limits(model, {node.input[0] for node in found.values()}, batches)
    before = judge(model)
    worst: list[str] = []
    count = 0
    while True:
        chosen = [name for name in layers if name not in worst[:count]]
        smaller = quantised(model, limits, chosen)
        lost = before - judge(smaller)
        say(f"{len(found) - len(chosen)} of {len(found)} convolutions left alone: {lost:.4f} AP50 lost")
        if lost <= allowed:
            return Quantised(smaller, len(found), (*sorted(last), *worst[:count]), lost)
        count = max(1, 2 * count)
        if count > len(layers) / 2:
            raise ModelError(
                f"8 bits cost {lost:.3f} AP50 with {len(found) - len(chosen)} of {len(found)} convolutions left alone; "
                "allow more by --loss, calibrate with more pictures, or use fp16"
            )
        worst = worst or list(damage(model, limits, layers, batches))
