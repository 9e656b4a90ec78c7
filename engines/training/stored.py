"""What a checkpoint's file must hold before a network is made of it: the file may be cut, damaged, or anybody's."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from engines.training.annotations import MOST_CLASSES
from engines.training.schedule import LARGEST_SIDE

_LARGEST, _MOST = MOST_CLASSES, 16  # numbers in a network's sizes, and how many of them
_SMALLEST_SIDE = 8  # pixels
_WRONG = (KeyError, TypeError, ValueError, AttributeError, RuntimeError, OverflowError)


class DamagedError(ValueError):
    """It isn't what a training writes."""


def check_stored(content: Mapping[str, Any], make: Callable[[dict[str, Any]], nn.Module]) -> None:
    """Compares what is there with the network that it is said to be of, without memory for that.

    make: the network of these sizes; its `config` says how many classes it has.

    Raises:
        DamagedError: something is missing, of the wrong kind, or doesn't fit the rest.
    """
    try:
        names, size, training = content["names"], content["size"], content.get("training")
        with torch.device("meta"):
            network = make(sizes(content["config"]))
    except KeyError as error:
        raise DamagedError(f"it has no {error.args[0]}") from None
    except _WRONG as error:
        raise DamagedError(f"no network has such sizes: {str(error)[:200]}") from None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DamagedError("its names of classes are no texts")
    classes = getattr(network, "config").classes  # noqa: B009
    if len(names) != classes:
        raise DamagedError(f"it has names for {len(names)} classes, and a network for {classes}")
    if type(size) is not int or not _SMALLEST_SIDE <= size <= LARGEST_SIDE:
        raise DamagedError("its size is no side of a picture")
    if not isinstance(training, dict | None):
        raise DamagedError("where its training stands can't be read")
    _check_weights(content.get("weights"), network.state_dict())


def sizes(config: Any) -> dict[str, Any]:
    """A network's sizes as the classes that describe them take them.

    Raises:
        ValueError: they aren't numbers that a network could have.
    """
    if not isinstance(config, dict):
        raise ValueError("none are there")
    found: dict[str, Any] = {}
    for name, value in config.items():
        several = isinstance(value, list | tuple)
        numbers = value if several else [value]
        if len(numbers) > _MOST or not all(type(n) in (int, float) and 0 <= n <= _LARGEST for n in numbers):
            raise ValueError(f"{str(name)[:50]!r}")
        found[str(name)] = tuple(numbers) if several else value
    return found


def _check_weights(weights: Any, wanted: Mapping[str, Tensor]) -> None:
    if not isinstance(weights, dict) or not all(isinstance(value, Tensor) for value in weights.values()):
        raise DamagedError("it has no weights")
    other = sorted(str(name)[:100] for name in weights.keys() ^ wanted.keys())
    if other:
        raise DamagedError(f"its weights are of another network: {other[0]}")
    for name, tensor in wanted.items():
        given = weights[name]
        if given.shape != tensor.shape or given.is_floating_point() != tensor.is_floating_point():
            raise DamagedError(f"its weights are of another network: {name}")
