"""Checkpoints: one file from which a training goes on, an export is made, or another training starts."""

import os
import pickle
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from engines.training.network import Convolution, Network, NetworkConfig, build_network
from streamer.errors import ModelError

FORMAT = "streamer detector 1"
# What torch's unpickler raises in a file that is not its own.
_FOREIGN = (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, ValueError, AttributeError, IndexError)


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


def fused(network: Network) -> Network:
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
    weights = {key: _stored(value, half) for key, value in checkpoint.weights.items()}
    content = {
        "format": FORMAT,
        "config": asdict(checkpoint.config),
        "names": list(checkpoint.names),
        "size": checkpoint.size,
        "weights": weights,
        "training": checkpoint.training,
    }
    unfinished = path.with_name(f"{path.name}.unfinished")
    with unfinished.open("wb") as file:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


def load_checkpoint(path: Path, device: torch.device | str = "cpu") -> Checkpoint:
    """Reads a checkpoint or a file of weights; runs no code from it.

    Raises:
        ModelError: there is no such file, or it is none of ours.
    """
    try:
        content = torch.load(path, map_location=device, weights_only=True)
    except OSError as error:
        raise ModelError(f"{path}: can't be read: {error.strerror}; name a checkpoint of `streamer train`") from None
    except _FOREIGN as error:
        raise ModelError(f"{path}: not a checkpoint of `streamer train`, or damaged: {_first_line(error)}") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ModelError(f"{path}: this PyTorch file is not a checkpoint of `streamer train`")
    config: dict[str, Any] = content["config"]
    weights = {key: value.float() if value.is_floating_point() else value for key, value in content["weights"].items()}
    return Checkpoint(
        NetworkConfig(**config), tuple(content["names"]), content["size"], weights, content.get("training")
    )


def _stored(value: Tensor, half: bool) -> Tensor:
    value = value.detach().cpu()
    return value.half() if half and value.is_floating_point() else value.clone()


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0][:200]
