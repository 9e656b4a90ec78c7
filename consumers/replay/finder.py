"""A model that looks at retained frames as a worker would, here and now."""

import time
from typing import Any

from consumers.lanes.decode import DeadFrameError, check, decode
from consumers.lanes.locate import detected_objects, too_small
from consumers.replay.look import Look
from consumers.replay.retained import RetainedFrame
from engines.detector import Detector, open_detector
from engines.letterbox import Placement
from engines.model import class_names
from engines.onnx_file import read_onnx
from streamer.models import model_path
from streamer.settings import DetectSettings


class Finder:
    """Looks at one frame at a time, in the calling thread. detector: what looks; closed with this."""

    def __init__(self, detector: Detector, settings: DetectSettings) -> None:
        self._detector, self._settings = detector, settings
        self._batch = detector.new_batch(1)
        self._placement: Placement | None = None
        self._cpu_s = 0.0
        self._frames = 0

    def look(self, frame: RetainedFrame) -> Look:
        """What is in a frame.

        Raises:
            ModelError: the network can't be run.
        """
        detector, header = self._detector, frame.header
        if too_small(header, detector) and not self._settings.allow_upscale:
            model = detector.model
            need = f"the {model.width}x{model.height} that {model.path.name} takes"
            return Look(None, "too small", f"pictures of {header.width}x{header.height} are smaller than {need}")
        began = time.process_time()
        wanted = detector.wanted_size(header.width, header.height)
        try:
            check(frame.jpeg, header, self._settings.max_picture_pixels)
            picture = decode(frame.jpeg, header, wanted, detector.model.colour)
        except DeadFrameError as error:
            return Look(None, "damaged", str(error))
        size = (header.width, header.height)
        self._placement = detector.prepare(picture, size, self._batch[0], self._placement)
        [found] = detector.detect(self._batch, [self._placement])
        objects = detected_objects(found, header, detector.model.classes)
        self._cpu_s += time.process_time() - began
        self._frames += 1
        return Look(objects)

    def to_json(self) -> dict[str, Any]:
        """The model, and the CPU time per frame from JPEG to boxes, of all threads of the process, in ms."""
        model, engine = self._detector.model, self._detector.engine
        return {
            "kind": "model",
            "models": [{"model": model.path.name, "sha256": model.sha256, "frames": self._frames}],
            "engine": f"{engine.name} {engine.version}",
            "confidence": model.confidence,
            "iou": self._detector.iou,
            "cpu_ms_per_frame": round(self._cpu_s * 1000 / self._frames, 2) if self._frames else None,
        }

    @property
    def name(self) -> str:
        """The file's."""
        return self._detector.model.path.name

    @property
    def classes(self) -> tuple[str, ...]:
        """The model's."""
        return self._detector.model.classes

    def close(self) -> None:
        """Lets the engine go."""
        self._detector.close()


def open_finder(settings: DetectSettings) -> Finder:
    """The model of the settings. What they say of classes that it hasn't got does not concern it.

    Raises:
        ModelError: the file is missing, damaged, or of an unknown layout.
        UsageError: there is no such engine, or it has none of the classes wanted.
    """
    names = class_names(read_onnx(model_path(settings.model)))
    own = settings.model_copy(update={"batch": 0})
    if names:
        known = tuple(name for name in settings.classes if name in names) or settings.classes
        of_classes = {name: score for name, score in settings.class_confidence.items() if name in names}
        own = own.model_copy(update={"classes": known, "class_confidence": of_classes})
    return Finder(open_detector(own, settings.session_threads), own)
