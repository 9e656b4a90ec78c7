"""A labelled picture as the worker would give it to a detector."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engines.detector import Detector
from engines.jpeg import decode_scaled

if TYPE_CHECKING:
    from engines.training.dataset import Picture

_JPEG, _EXIF = b"\xff\xd8", b"Exif\0\0"
_HEAD = 1 << 16  # bytes that hold an EXIF block, if there is one


def pixels(picture: "Picture", detector: Detector) -> NDArray[np.uint8]:
    """HxWx3 in the detector's colour order; a JPEG by the worker's decoder, at the scale that the worker would take.

    Raises:
        PictureError: it is damaged, or can't be read.
    """
    data = picture.file.read()
    size = picture.width, picture.height
    # What may have to be turned upright is left to the reader of data sets. So is what the worker's decoder, the
    # stricter one, refuses: training learns from such pictures too.
    if data.startswith(_JPEG) and _EXIF not in data[:_HEAD]:
        try:
            return decode_scaled(data, size, detector.wanted_size(*size), detector.model.colour)
        except ValueError:
            pass
    found: NDArray[Any] = picture.file.pixels()
    return found if detector.model.colour == "RGB" else np.ascontiguousarray(found[:, :, ::-1])
