"""A GPU whose context is broken: by a process of its own, as it can't use the GPU any more."""

import subprocess
import sys

_BREAK = """
import numpy as np
from engines.tensorrt.device import open_device
from engines.tensorrt.errors import DeviceLostError
device = open_device()
try:
    with device.use("a test"):
        stream = device.stream()
        kernel = device.kernel("nms", "suppress")
        # The tallies lie at address 64, which is nobody's.
        nowhere = np.uintp(64)
        kernel(nowhere, nowhere, nowhere, nowhere, np.int32(1), np.int32(1), np.float32(1),
               block=(32, 1, 1), grid=(1, 1, 1), stream=stream)
        stream.synchronize()
except DeviceLostError as error:
    print("lost:", error)
"""


def test_is_said_in_one_line() -> None:
    done = subprocess.run([sys.executable, "-c", _BREAK], capture_output=True, text=True, timeout=100, check=False)
    assert done.stdout.startswith("lost: a test: the GPU failed ("), done.stderr
    assert done.stdout.count("\n") == 1
