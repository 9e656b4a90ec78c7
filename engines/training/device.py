"""Where a training computes."""

import torch

from streamer.errors import UsageError


def chosen_device(name: str) -> torch.device:
    """The device of that name; auto: a GPU if there is one.

    Raises:
        UsageError: there is none of that name.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"no device is called {name!r}; use cpu, cuda or cuda:NUMBER") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UsageError(f"--device {name}: PyTorch sees no GPU here; use cpu")
    return device
