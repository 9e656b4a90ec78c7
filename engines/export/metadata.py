"""What an exported file says of itself, under the keys that Ultralytics writes and its tools look for.

Source: Ultralytics, `ultralytics/engine/exporter.py` (Exporter.__call__).
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

from streamer import __version__

_KINDS = {"detect": "Detector", "classify": "Classifier"}


def metadata(
    names: Sequence[str],
    size: tuple[int, int],
    batch: int,
    task: Literal["detect", "classify"] = "detect",
    made: datetime | None = None,
    iou: float | None = None,
) -> dict[str, str]:
    """Of a network.

    size: width and height of its input, in pixels. batch: pictures per inference, 0: any number. made: when; None:
    now. iou: overlap beyond which boxes of a class are one.
    """
    found = {
        "description": f"{_KINDS[task]} of {', '.join(names)}",
        "author": "streamer",
        "date": (made or datetime.now(UTC)).isoformat(timespec="seconds"),
        "version": __version__,
        "license": "not stated",
        "docs": "docs/models.md",
        "stride": "32" if task == "detect" else "1",
        "task": task,
        "batch": str(batch or 1),
        "imgsz": str([size[1], size[0]]),
        "names": str(dict(enumerate(names))),
        # "dynamic" would be: of any height and width, too.
        "args": str({"batch": batch or 1, "dynamic": False, "half": False, "int8": False, "nms": False}),
        "channels": "3",
    }
    if iou is not None:
        found["iou"] = str(iou)
    return {**found, "end2end": "False"} if task == "detect" else found
