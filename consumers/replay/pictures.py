"""The frames about which two models disagree most, with what each of them sees."""

import heapq
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from consumers.replay.differences import Differences
from consumers.replay.retained import RetainedFrame
from engines.marks import Colour, mark
from streamer.records import DetectedObject, FrameHeader

BASELINE: Colour = (60, 130, 255)  # RGB: blue
CANDIDATE: Colour = (255, 140, 0)  # orange


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A frame, and what the two say of it."""

    frame: RetainedFrame
    found: Differences

    @property
    def rank(self) -> tuple[float, int, int]:
        """The larger, the worse; of equal ones the earlier."""
        frame_id = self.frame.header.id
        return self.found.weight, -frame_id.epoch, -frame_id.sequence


class Worst:
    """Keeps the worst of all frames offered, but one per second of the source: neighbours show the same."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._heap: list[tuple[tuple[float, int, int], Disagreement]] = []
        self._second: tuple[int, int] | None = None
        self._of_second: Disagreement | None = None

    def offer(self, frame: RetainedFrame, found: Differences) -> None:
        """Frames come in order; those in which there is no difference are not kept."""
        if not self._count or not found.weight:
            return
        second, offered = _second(frame.header), Disagreement(frame, found)
        if second != self._second:
            self._keep()
            self._second, self._of_second = second, offered
        elif self._of_second is None or offered.rank > self._of_second.rank:
            self._of_second = offered

    def ranked(self) -> list[Disagreement]:
        """The worst first; ends the second that is under way."""
        self._keep()
        return [each for _, each in sorted(self._heap, key=lambda item: item[0], reverse=True)]

    def _keep(self) -> None:
        if self._of_second is None:
            return
        heapq.heappush(self._heap, (self._of_second.rank, self._of_second))
        if len(self._heap) > self._count:
            heapq.heappop(self._heap)
        self._of_second = None


def draw(what: Disagreement, names: tuple[str, str]) -> bytes:
    """A JPEG: the baseline's boxes blue, the candidate's orange; what both see is thin and has no text.

    names: of baseline and candidate, for the legend.
    """
    import simplejpeg

    frame, found = what.frame, what.found
    canvas: NDArray[np.uint8] = simplejpeg.decode_jpeg(frame.jpeg, "RGB")
    back = cv2.invertAffineTransform(np.array(frame.header.matrix, np.float64).reshape(2, 3))
    for pair in found.both:
        mark(canvas, _box(pair.baseline, back), "", BASELINE, thickness=1)
        mark(canvas, _box(pair.candidate, back), "", CANDIDATE, thickness=1)
    for objects, colour in ((found.only_baseline, BASELINE), (found.only_candidate, CANDIDATE)):
        for each in objects:
            mark(canvas, _box(each, back), f"{each.type} {each.confidence:.2f}", colour)
    for line, (name, colour) in enumerate(zip(names, (BASELINE, CANDIDATE), strict=True), 1):
        place = (4, 16 * line)
        cv2.putText(canvas, name, place, cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 3, cv2.LINE_AA)
        cv2.putText(canvas, name, place, cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, 1, cv2.LINE_AA)
    data: bytes = simplejpeg.encode_jpeg(canvas, quality=90)
    return data


def _second(header: FrameHeader) -> tuple[int, int]:
    seconds = header.captured_ms / 1000 if header.source_time is None else header.source_time
    return header.id.epoch, int(seconds)


def _box(each: DetectedObject, back: cv2.typing.MatLike) -> NDArray[np.float64]:
    """In pixels of the JPEG: (4,) left, top, right, bottom. back: 2x3, upright source pixels -> JPEG pixels."""
    box = each.bbox
    corners = np.array([(box.left, box.top, 1), (box.right, box.bottom, 1)]) @ np.asarray(back).T
    return np.concatenate((corners.min(0), corners.max(0)))
