"""Where a training computes."""

import torch

from streamer.errors import UsageError


def chosen_device(name: str) -> torch.device:
    """The device of that name; auto: a GPU if there is one.

    Raises:
        UsageError: there is none of that name, or nothing here is made for it.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"no device is called {name!r}; use cpu, cuda or cuda:NUMBER") from None
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"--device {name}: trainings run on cpu, cuda or cuda:NUMBER")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(f"--device {name}: PyTorch sees {torch.cuda.device_count() or 'no'} GPU here; use cpu")
    return device


def halved(device: torch.device) -> torch.autocast:
    """A context in which convolutions are computed in bf16, where that is faster; it needs no scaling of the loss.

    That is on GPUs, and on processors with instructions of their own for it (.7 of float32's time on AMD's Zen 4).
    """
    # Since PyTorch 2.10; what came before can't tell.
    able: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    enabled = device.type == "cuda" or bool(able.get("avx512_bf16"))
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)
