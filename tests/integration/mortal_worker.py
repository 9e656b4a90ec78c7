"""A worker whose engine has a fault: `python -m tests.integration.mortal_worker FAULT detect ...`.

A picture that is white makes it abort the process (FAULT = abort), freeze it (freeze), fail (raise), or hang until
`let_go` is set (hang). FAULT = once: one call fails, as for want of memory; broken: every call behind a white picture
fails, as after a fault of a GPU.
"""

import os
import signal
import sys
import threading
from typing import Any

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from engines.onnxruntime_engine import OnnxRuntimeEngine
from streamer.__main__ import main
from tests.integration.worker_rig import HEIGHT, WIDTH

WHITE: bytes = simplejpeg.encode_jpeg(np.full((HEIGHT, WIDTH, 3), 255, np.uint8), quality=90)
let_go = threading.Event()
_SHARE = 0.3  # of a batch's picture, which has grey above and below


def _is_white(picture: NDArray[Any]) -> bool:
    return bool(np.mean(picture > 0.99) > _SHARE)


def faulty(kind: str) -> None:
    """Makes the engine of this process so."""
    infer, calls, broken = OnnxRuntimeEngine.infer, [0], [False]

    def infer_or_not(self: OnnxRuntimeEngine, batch: NDArray[Any]) -> list[NDArray[Any]]:
        calls[0] += 1
        white = any(map(_is_white, batch))
        if white and kind == "abort":
            os.abort()
        if white and kind == "freeze":
            os.kill(os.getpid(), signal.SIGSTOP)
        if white and kind == "hang":
            let_go.wait(60)
        broken[0] |= white and kind == "broken"
        # The first calls try the model, one per session.
        if (white and kind == "raise") or broken[0] or (kind == "once" and calls[0] == 5):
            raise RuntimeError("not enough memory" if kind == "once" else "an assertion of the engine failed")
        return infer(self, batch)

    OnnxRuntimeEngine.infer = infer_or_not  # type: ignore[method-assign]


if __name__ == "__main__":
    faulty(sys.argv[1])
    sys.exit(main(sys.argv[2:]))
