"""Pictures as a network sees them in service, to calibrate it with."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from engines.detector import Detector
from engines.evaluation.pixels import pixels
from engines.evaluation.subset import at_most
from engines.training.picture_file import PictureError

if TYPE_CHECKING:
    from engines.training.dataset import Dataset, Picture


class CalibrationBatches:
    """Batches of a data set's pictures, letterboxed; may be read more than once. Damaged pictures are left out."""

    def __init__(self, detector: Detector, dataset: "Dataset", count: int) -> None:
        self._detector = detector
        self._pictures = at_most(dataset, count).pictures

    def __iter__(self) -> Iterator[NDArray[Any]]:
        """Each (pictures per inference, 3, height, width); what is left over at the end is left out."""
        step = self._detector.batch
        for start in range(0, len(self._pictures) - step + 1, step):
            batch = self._detector.new_batch(step)
            for slot, picture in zip(batch, self._pictures[start : start + step], strict=True):
                self._put(picture, slot)
            yield batch

    def _put(self, picture: "Picture", slot: NDArray[Any]) -> None:
        """Into the slot, which stays grey if the picture is damaged."""
        try:
            found = pixels(picture, self._detector)
        except PictureError:
            return
        self._detector.prepare(found, (picture.width, picture.height), slot)
