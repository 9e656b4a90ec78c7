"""The network that a classifier's training starts with: a fresh one, or what another training has learnt."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from engines.training.classify.checkpoint import load_classifier
from engines.training.classify.network import ClassifierConfig, ClassifierNetwork
from engines.training.start import learnt_rows


def first_classifier(init: Path | None, names: Sequence[str]) -> ClassifierNetwork:
    """A fresh network, or one of the sizes and weights in `init`; of its classes those that are among `names`.

    Raises:
        ModelError: `init` can't be read, or is no classifier.
    """
    if init is None:
        return ClassifierNetwork(ClassifierConfig(len(names)))
    start = load_classifier(init)
    network = ClassifierNetwork(replace(start.config, classes=len(names)))
    dense = learnt_rows(network, start.weights, ["dense.weight", "dense.bias"], start.names, names)
    network.load_state_dict(dict(start.weights) | dense)
    return network
