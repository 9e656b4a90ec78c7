"""From pictures to boxes: letterbox, engine, head and NMS put together."""

import difflib
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.detections import Detections
from engines.engine import ByteEngine, CutEngine, Engine, InputSpec, open_engine
from engines.heads.head import Head, Sample, Thresholds
from engines.heads.registry import Choice, choose
from engines.letterbox import PAD_VALUE, Placement
from engines.model import ModelInfo, class_names, describe_model, input_spec
from engines.nms import suppress
from engines.onnx_file import read_onnx
from streamer.errors import ModelError, UsageError
from streamer.models import model_path
from streamer.settings import DetectSettings


@dataclass(frozen=True, slots=True)
class Times:
    """What one call of `detect` took, in seconds. network_cpu: CPU time of the calling thread in the network."""

    network: float = 0.0
    network_cpu: float = 0.0
    boxes: float = 0.0


@dataclass(frozen=True, slots=True)
class Selection:
    """Which of the boxes found are given out; see DetectSettings for the fields.

    candidates: thresholds for pictures whose less sure boxes are wanted too; None: there are no such pictures.
    """

    thresholds: Thresholds
    iou: float
    agnostic: bool
    max_objects: int
    candidates: Thresholds | None = None


class Detector:
    """A model that is ready. One per inference thread; `prepare` and `wanted_size` from any thread.

    model: what it is. engine: what runs it. head: what reads its answers. selection: of what it reads.
    times: of the last `detect`.
    """

    def __init__(self, model: ModelInfo, engine: Engine, head: Head, selection: Selection) -> None:
        self.model = model
        self.engine = engine
        self.times = Times()
        self.head = head
        self.selection = selection
        self._letterbox = model.letterbox

    @property
    def batch(self) -> int:
        """How many pictures go through the network together."""
        return self.engine.input.batch

    @property
    def iou(self) -> float | None:
        """Boxes that overlap more are one; None: nobody looks, as the network gives each object one box."""
        return self.selection.iou if self.head.overlapping or self.selection.agnostic else None

    def wanted_size(self, width: int, height: int) -> tuple[int, int]:
        """The smallest size (width, height) that a picture of width x height may travel at without loss here."""
        return self._letterbox.wanted_size(width, height)

    def new_batch(self, pictures: int) -> NDArray[Any]:
        """A batch of grey, as the engine's input is, to be prepared into."""
        return _grey(self.engine.input, self.model.factor, pictures)

    def prepare(
        self,
        picture: NDArray[np.uint8],
        size: tuple[int, int],
        into: NDArray[Any],
        previous: Placement | None = None,
    ) -> Placement:
        """Puts a picture into its slot of a batch.

        picture: uint8 (height, width, 3), channels in the order of `model.colour`, maybe of a smaller scale.
        size: (width, height) of the whole picture, in whose pixels its boxes will be.
        into: one picture's slot of a batch; wholly overwritten.
        previous: what the slot was prepared as last, which saves time where the border stays; see Letterbox.
        """
        fit = self._letterbox.prepare_bytes if into.dtype == np.uint8 else self._letterbox.prepare
        return fit(picture, size, into, previous)

    def detect(
        self, batch: NDArray[Any], placements: Sequence[Placement], candidates: Sequence[bool] = ()
    ) -> list[Detections]:
        """What is in the first len(placements) pictures of a batch, the most confident first, in picture pixels.

        candidates: per picture, whether boxes below their class's threshold are wanted too, down to
            `candidate_confidence`; see `sure`. Empty: of none.

        Raises:
            ModelError: the network can't be run, or gives classes that it doesn't have.
        """
        found: list[Detections] = []
        self.times = Times()
        step = self.batch
        for start in range(0, len(placements), step):
            part = placements[start : start + step]
            wanted = candidates[start : start + step] or [False] * len(part)
            found += self._detect(self._full(batch[start : start + len(part)]), part, wanted)
        return found

    def sure(self, found: Detections) -> NDArray[np.bool_]:
        """Which of the boxes reach the threshold of their class."""
        reached: NDArray[np.bool_] = found.scores >= self.selection.thresholds.per_class[found.classes]
        return reached

    def detect_pictures(self, pictures: Sequence[NDArray[np.uint8]]) -> list[Detections]:
        """What is in pictures of any sizes, (height, width, 3) with channels in the order of `model.colour`."""
        batch = self.new_batch(len(pictures))
        sizes = [(picture.shape[1], picture.shape[0]) for picture in pictures]
        placements = [self.prepare(*each) for each in zip(pictures, sizes, batch, strict=True)]
        return self.detect(batch, placements)

    def close(self) -> None:
        """Lets the engine go."""
        self.engine.close()

    def _full(self, batch: NDArray[Any]) -> NDArray[Any]:
        """`batch`, made up with grey to the size that the network insists on."""
        if not self.engine.input.fixed_batch or len(batch) == self.batch:
            return batch
        whole = self.new_batch(self.batch)
        whole[: len(batch)] = batch
        return whole

    def _detect(
        self, batch: NDArray[Any], placements: Sequence[Placement], candidates: Sequence[bool]
    ) -> list[Detections]:
        start, start_cpu = time.perf_counter(), time.thread_time()
        outputs = self.engine.infer(batch)
        ready, ready_cpu = time.perf_counter(), time.thread_time()
        # A network may answer with infinities; they are sorted out behind the head.
        with np.errstate(all="ignore"):
            outputs = [output if output.dtype == np.float32 else output.astype(np.float32) for output in outputs]
            found = [
                self._boxes(outputs, number, placement, wanted)
                for number, (placement, wanted) in enumerate(zip(placements, candidates, strict=True))
            ]
        self.times = Times(
            self.times.network + ready - start,
            self.times.network_cpu + ready_cpu - start_cpu,
            self.times.boxes + time.perf_counter() - ready,
        )
        return found

    def _boxes(self, outputs: list[NDArray[Any]], number: int, placement: Placement, candidates: bool) -> Detections:
        wanted = self.selection
        thresholds = wanted.candidates if candidates and wanted.candidates else wanted.thresholds
        try:
            found = self.head.decode(outputs, number, thresholds)
        except ValueError as error:
            raise ModelError(f"{self.model.path}: {error}; write the class names into the file") from None
        if not len(found):
            return found
        # One sum tells that all numbers are sound, which they nearly always are.
        if not math.isfinite(np.add.reduce(found.boxes, axis=None) + np.add.reduce(found.scores)):
            found = found[np.isfinite(found.boxes).all(axis=1) & np.isfinite(found.scores)]
        if (iou := self.iou) is not None:
            kept = suppress(found, iou, wanted.agnostic)
        else:
            kept = np.argsort(-found.scores, kind="stable")
        boxes = placement.to_picture(found.boxes[kept])
        visible = boxes[:, 2:] > boxes[:, :2]
        if len(kept) > wanted.max_objects or not visible.all():
            shown = np.flatnonzero(visible.all(axis=1))[: wanted.max_objects]
            boxes, kept = boxes[shown], kept[shown]
        return Detections(boxes, found.scores[kept], found.classes[kept])


def open_detector(settings: DetectSettings, threads: int) -> Detector:
    """The model of the settings, loaded and run once, so that its first picture is as fast as the others.

    threads: cores that an inference may use. Open one detector per thread that detects; with one thread each, all
    detectors of a file share its weights. OpenCV is told not to use threads of its own, in the whole process.

    Raises:
        ModelError: the file is missing, damaged, or of an unknown layout.
        UsageError: there is no such engine, or no such class.
    """
    if not settings.model:
        raise UsageError("no model is named; give one by --model or detect.model")
    cv2.setNumThreads(1)
    file = read_onnx(model_path(settings.model))
    spec = input_spec(file, settings.batch)
    names = class_names(file)
    engine = open_engine(settings.engine, file, spec, threads)
    try:
        first = engine.infer(_grey(engine.input, 1 / 255, engine.input.batch))
        sample = Sample(spec.width, spec.height, [output[:1] for output in first], names, file.metadata)
        choice = _head(engine, sample, settings.head)
        model = describe_model(
            file, spec, choice.head, choice.reason, settings.padding, settings.iou, settings.confidence
        )
        if isinstance(engine, ByteEngine):
            engine.take_bytes(model.factor)
            engine.infer(_grey(engine.input, model.factor, engine.input.batch))
        return Detector(model, engine, choice.head, _selection(settings, model))
    except ValueError as error:
        engine.close()
        raise ModelError(f"{file.path}: {error}") from None


def _head(engine: Engine, sample: Sample, named: str) -> Choice:
    """What reads the engine's outputs; who has named a head meant the file's own."""
    if isinstance(engine, CutEngine) and engine.head:
        return replace(choose(sample, engine.head), reason="the file ends in NMS, which is done behind the engine")
    return choose(sample, named)


def _grey(spec: InputSpec, factor: float, pictures: int) -> NDArray[Any]:
    return np.full(spec.shape(pictures), PAD_VALUE if spec.dtype == np.uint8 else PAD_VALUE * factor, spec.dtype)


def check_classes(settings: DetectSettings, path: Path, classes: Sequence[str]) -> None:
    """Whether a model has the classes that the settings name.

    Raises:
        UsageError: it has not.
    """
    mistakes = [name for name in (*settings.classes, *settings.class_confidence) if name not in classes]
    if mistakes:
        near = difflib.get_close_matches(mistakes[0], classes, 3)
        hint = f"; did you mean {' or '.join(near)}?" if near else "; `streamer model inspect` lists its classes"
        raise UsageError(f"{path} has no class {', '.join(map(repr, mistakes))}{hint}")


def _selection(settings: DetectSettings, model: ModelInfo) -> Selection:
    check_classes(settings, model.path, model.classes)
    wanted = settings.classes or model.classes
    per_class = [
        settings.class_confidence.get(name, model.confidence) if name in wanted else np.inf for name in model.classes
    ]
    low = settings.candidate_confidence
    lower = [min(threshold, low) if np.isfinite(threshold) else np.inf for threshold in per_class]
    return Selection(
        Thresholds.of(per_class), model.iou, settings.agnostic_nms, settings.max_objects, Thresholds.of(lower)
    )
