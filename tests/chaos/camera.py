"""A camera of the mixed run: it may be killed, frozen, and told to change its picture's size in mid-stream."""

import signal
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from tests.chaos.supervised import Supervised
from tests.integration.rtsp_camera import PYTHON, SERVER

SIZES = [(96, 64), (160, 96)]
CHANGE = signal.SIGUSR1


def h264(path: Path, width: int, height: int) -> Path:
    """A second of grey pictures."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("h264", rate=10, options={"preset": "ultrafast", "tune": "zerolatency", "g": "5"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.time_base = Fraction(1, 10)
        for number in range(10):
            picture = np.full((height, width, 3), 20 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format="yuv420p")))
        container.mux(stream.encode(None))
    return path


def camera(folder: Path, port: int) -> Supervised:
    """It shows pictures of the first of SIZES, and of the other after CHANGE, and so on."""
    own = folder / "camera"
    own.mkdir()
    first, other = (h264(own / f"{width}.mp4", width, height) for width, height in SIZES)
    command = [PYTHON, str(SERVER), str(first), "--or", str(other), "--port", str(port)]
    return Supervised("camera", command, own)
