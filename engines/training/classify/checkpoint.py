"""Checkpoints of classifiers; a file like a detector's, in a format of its own."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engines.training.checkpoint import check_content, fused, read_content, restored, stored, write_content
from engines.training.classify.network import ClassifierConfig, ClassifierNetwork
from engines.training.stored import sizes
from streamer.errors import ModelError

FORMAT = "streamer classifier 1"


@dataclass(frozen=True, slots=True, eq=False)
class ClassifierCheckpoint:
    """A trained network; see engines.training.checkpoint.Checkpoint, all is alike."""

    config: ClassifierConfig
    names: tuple[str, ...]
    size: int
    weights: Mapping[str, Tensor]
    training: Mapping[str, Any] | None = None

    def plain_network(self) -> ClassifierNetwork:
        """The network as it is trained."""
        network = ClassifierNetwork(self.config)
        network.load_state_dict(dict(self.weights))
        return network

    def network(self) -> ClassifierNetwork:
        """The network for inference: batch normalisation is part of the convolutions, no gradients."""
        return fused(self.plain_network())


def save_classifier(path: Path, checkpoint: ClassifierCheckpoint, half: bool = False) -> None:
    """Writes a checkpoint, whole or not at all. half: the weights as float16."""
    content = {
        "format": FORMAT,
        "config": asdict(checkpoint.config),
        "names": list(checkpoint.names),
        "size": checkpoint.size,
        "weights": stored(checkpoint.weights, half),
        "training": checkpoint.training,
    }
    write_content(path, content)


def load_classifier(path: Path, device: torch.device | str = "cpu") -> ClassifierCheckpoint:
    """Reads a checkpoint or a file of weights; runs no code from it.

    Raises:
        ModelError: there is no such file, or it holds no classifier, or is damaged.
    """
    content = read_content(path, device)
    if content["format"] != FORMAT:
        raise ModelError(f"{path}: this is a checkpoint ({content['format']}), but not of a classifier")
    check_content(path, content, lambda config: ClassifierNetwork(ClassifierConfig(**config)))
    config, weights = ClassifierConfig(**sizes(content["config"])), restored(content["weights"])
    return ClassifierCheckpoint(config, tuple(content["names"]), content["size"], weights, content.get("training"))
