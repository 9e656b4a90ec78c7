"""Opening the detectors. An engine may have to be built, for minutes in which a worker can be watched and stopped."""

import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from consumers.lanes.make import open_detectors
from engines.progress import BuildStopped, Job, Progress
from streamer.settings import DetectSettings

if TYPE_CHECKING:
    from consumers.lanes.make import AnyDetector

log = logging.getLogger(__name__)

_LOOK_S, _SAY_S = 0.1, 10.0


def open_watched(
    settings: DetectSettings, stopping: threading.Event, tell: Callable[[str], None]
) -> "list[AnyDetector]":
    """One per lane. tell: is told what is waited for, and how long it may still take, again and again.

    Raises:
        BuildStopped: `stopping` was set, and the build has ended or takes longer to end than a worker may.
        StreamerError: the model or the engine can't be opened.
    """
    progress = Progress()
    job = Job(partial(open_detectors, settings), progress, "opening")
    said = time.monotonic()
    while not job.done(_LOOK_S):
        if stopping.is_set():
            progress.stop()
            if not job.done(settings.drain_timeout_s):
                raise BuildStopped
            break
        state = progress.state()
        words = f"building the engine: {state}" if progress.begun else f"opening the model for {state.seconds:.0f} s"
        tell(words)
        if time.monotonic() - said > _SAY_S:
            said = time.monotonic()
            log.info("%s", words)
    return job.answer()
