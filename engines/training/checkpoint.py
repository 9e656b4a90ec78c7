"""Checkpoints: one file from which a training goes on, an export is made, or another training starts."""

import os
import pickle
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from engines.training.network import Convolution, Network, NetworkConfig, build_network
from engines.training.stored import DamagedError, check_stored, sizes
from streamer.errors import ModelError

FORMAT = "streamer detector 1"
_OURS = "streamer "
# What torch's unpickler raises in a file that is not its own.
_FOREIGN = (RuntimeError, EOFError, KeyError, ValueError, AttributeError, IndexError)


AnyNetwork = TypeVar("AnyNetwork", bound=nn.Module)


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """A trained network.

    config: its sizes. names: of its classes. size: side in pixels of the input that it was trained for last.
    weights: its state, of the moving average; float32 once loaded.
    training: where a training stands; None in a file of weights only.
    """

    config: NetworkConfig
    names: tuple[str, ...]
    size: int
    weights: Mapping[str, Tensor]
    training: Mapping[str, Any] | None = None

    def plain_network(self) -> Network:
        """The network as it is trained."""
        network = build_network(self.config)
        network.load_state_dict(dict(self.weights))
        return network

    def network(self) -> Network:
        """The network for inference: batch normalisation is part of the convolutions, no gradients."""
        return fused(self.plain_network())


def fused(network: AnyNetwork) -> AnyNetwork:
    """`network` itself, changed: its batch normalisations have become part of the convolutions before them."""
    network.eval().requires_grad_(False)
    for module in network.modules():
        if isinstance(module, Convolution):
            module[0] = fuse_conv_bn_eval(module[0], module[1])
            module[1] = nn.Identity()
    return network


def save_checkpoint(path: Path, checkpoint: Checkpoint, half: bool = False) -> None:
    """Writes a checkpoint, or leaves the old one as it is if that fails half-way.

    half: the weights as float16, which loses nothing that shows and halves the file.
    """
    content = {
        "format": FORMAT,
        "config": asdict(checkpoint.config),
        "names": list(checkpoint.names),
        "size": checkpoint.size,
        "weights": stored(checkpoint.weights, half),
        "training": checkpoint.training,
    }
    write_content(path, content)


def write_content(path: Path, content: Mapping[str, Any]) -> None:
    """Writes a checkpoint's file, or leaves the old one as it is if that fails half-way."""
    unfinished = path.with_name(f"{path.name}.unfinished")
    with unfinished.open("wb") as file:
        torch.save(dict(content), file)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


def load_checkpoint(path: Path, device: torch.device | str = "cpu") -> Checkpoint:
    """Reads a checkpoint or a file of weights; runs no code from it.

    Raises:
        ModelError: there is no such file, or it is none of ours, or damaged.
    """
    content = read_content(path, device)
    if content["format"] != FORMAT:
        raise ModelError(f"{path}: this is a checkpoint ({content['format']}), but not of a detector")
    check_content(path, content, lambda config: build_network(NetworkConfig(**config)))
    config, weights = NetworkConfig(**sizes(content["config"])), restored(content["weights"])
    return Checkpoint(config, tuple(content["names"]), content["size"], weights, content.get("training"))


def check_content(path: Path, content: Mapping[str, Any], make: Callable[[dict[str, Any]], nn.Module]) -> None:
    """See check_stored.

    Raises:
        ModelError: it is damaged.
    """
    try:
        check_stored(content, make)
    except DamagedError as error:
        raise ModelError(f"{path}: this checkpoint is damaged: {error}") from None


def read_content(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """What a checkpoint's file holds, of whatever format of ours; runs no code from it.

    Raises:
        ModelError: there is no such file, or it is none of ours.
    """
    try:
        content = torch.load(path, map_location=device, weights_only=True)
    except OSError as error:
        raise ModelError(f"{path}: can't be read: {error.strerror}; name a checkpoint of `streamer train`") from None
    except pickle.UnpicklingError:  # torch advises to load it without any check; nobody should
        raise ModelError(f"{path}: not a checkpoint of `streamer train`, or damaged") from None
    except _FOREIGN as error:
        raise ModelError(f"{path}: not a checkpoint of `streamer train`, or damaged: {_first_line(error)}") from None
    if not isinstance(content, dict) or not str(content.get("format")).startswith(_OURS):
        raise ModelError(f"{path}: this PyTorch file is not a checkpoint of `streamer train`")
    return content


def stored(weights: Mapping[str, Tensor], half: bool) -> dict[str, Tensor]:
    """Weights as they are written: copies in main memory, those that aren't whole numbers as float16 if `half`."""
    copies = {key: value.detach().cpu() for key, value in weights.items()}
    return {key: value.half() if half and value.is_floating_point() else value.clone() for key, value in copies.items()}


def restored(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights as they are used: float32 again."""
    return {key: value.float() if value.is_floating_point() else value for key, value in weights.items()}


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0][:200]
