"""A picture on disk: how large it is, told from its first bytes, and its pixels."""

import struct
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"))
_HEAD, _TAIL = 1 << 17, 1 << 10  # bytes read to learn the size of a picture, and to see that a JPEG has its end
_ORIENTATION = 0x0112  # EXIF tag; values from 5 on swap width and height


class PictureError(Exception):
    """These bytes are no picture, or not all of one. The message goes on from the file's name: "is cut off"."""


@dataclass(frozen=True, slots=True)
class PictureFile:
    """Where a picture's bytes are.

    path: the file. offset, length: of the picture within it, in bytes; length -1: up to the file's end.
    """

    path: Path
    offset: int = 0
    length: int = -1

    def size(self) -> tuple[int, int]:
        """Width and height in pixels, upright (EXIF orientation applied), without decoding a sound JPEG or PNG.

        Raises:
            PictureError: it is missing, empty, cut off or no picture.
        """
        head, tail = self._ends()
        if head.startswith(b"\x89PNG\r\n\x1a\n") and tail.rstrip(b"\0")[-8:-4] == b"IEND":
            width, height = struct.unpack(">II", head[16:24])
            return int(width), int(height)
        if not head.startswith(b"\xff\xd8") or b"\xff\xd9" not in tail:
            height, width = self.pixels().shape[:2]
            return width, height
        try:
            height, width = simplejpeg.decode_jpeg_header(head)[:2]
        except ValueError:
            raise PictureError("is a damaged JPEG") from None
        return (height, width) if _orientation(head) >= 5 else (width, height)

    def pixels(self) -> NDArray[np.uint8]:
        """RGB (height, width, 3), upright.

        Raises:
            PictureError: as of `size`.
        """
        data = self.read()
        if data.startswith(b"\xff\xd8") and not data.rstrip(b"\0").endswith(b"\xff\xd9") and b"\xff\xd9" not in data:
            raise PictureError("is cut off")  # OpenCV would fill the rest with grey and say nothing
        try:
            picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
        except cv2.error:  # one that claims to be larger than OpenCV decodes
            picture = None
        if picture is None:
            raise PictureError("is no picture" if data else "is empty")
        upright: NDArray[np.uint8] = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
        return upright

    def read(self) -> bytes:
        """The picture's bytes, as they are.

        Raises:
            PictureError: they can't be read.
        """
        try:
            with self.path.open("rb") as file:
                file.seek(self.offset)
                return file.read(self.length)
        except (OSError, ValueError) as error:
            raise PictureError(_unreadable(error)) from None

    def _ends(self) -> tuple[bytes, bytes]:
        """Its first and its last bytes."""
        try:
            with self.path.open("rb") as file:
                length = self.length if self.length >= 0 else file.seek(0, 2) - self.offset
                file.seek(self.offset)
                head = file.read(min(length, _HEAD))
                file.seek(self.offset + max(0, length - _TAIL))
                return head, file.read(min(length, _TAIL))
        except (OSError, ValueError) as error:
            raise PictureError(_unreadable(error)) from None


def _unreadable(error: OSError | ValueError) -> str:
    """A ValueError: the name can't be one, or the place in the file is before its beginning."""
    if isinstance(error, FileNotFoundError):
        return "is missing"
    return f"can't be read: {error.strerror if isinstance(error, OSError) else 'no such name or place'}"


def _orientation(jpeg: bytes) -> int:
    """The EXIF orientation, 1 to 8, which OpenCV applies when it decodes; 1 where there is none."""
    start = jpeg.find(b"Exif\0\0", 0, 1 << 16) + 6
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(jpeg[start : start + 4]) if start >= 6 else None
    if order is None:
        return 1
    try:
        (table,) = struct.unpack_from(f"{order}I", jpeg, start + 4)
        (entries,) = struct.unpack_from(f"{order}H", jpeg, start + table)
        for number in range(entries):
            tag, _, _, value = struct.unpack_from(f"{order}HHIH", jpeg, start + table + 2 + 12 * number)
            if tag == _ORIENTATION:
                return int(value)
    except struct.error:
        pass  # a damaged EXIF block: decoders go by the pixels then
    return 1
