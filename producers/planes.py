"""A decoded frame as planes of bytes, without a copy where the decoder's own memory can be used."""

from dataclasses import dataclass

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from producers.colour import JPEG, Plane, Tags, tags
from producers.transform import Size

# Formats that JPEG's planes can be taken from as they are.
_PLAIN = {"yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "yuv440p", "yuvj440p", "gray"}
# By how many pixels a chroma sample spans, across and down.
_BY_SUBSAMPLING = {(1, 1): "yuv444p", (2, 1): "yuv422p", (2, 2): "yuv420p", (1, 2): "yuv440p"}
# 4:2:0 that is scaled down becomes 4:2:2, so that it loses less of its colour: at quality 90 more of the boxes are
# found again than from 4:2:0 at 95, from a quarter fewer bytes (tests/bench/jpeg_hop.py).
_SCALED = {"yuv420p": "yuv422p", "yuvj420p": "yuvj422p"}
SCALER = Interpolation.AREA
_SPREAD = 8  # pixels, where chroma has to be made up between samples that are four pixels apart


def views(frame: av.VideoFrame) -> list[Plane]:
    """The planes of a frame in plain format, uint8 (rows, columns), on the frame's own memory.

    Not to be written to where the frame is a decoder's: it predicts later pictures from it.
    """
    return [_view(plane) for plane in frame.planes]


def _view(plane: "av.video.plane.VideoPlane") -> Plane:
    rows = np.frombuffer(plane, np.uint8, plane.line_size * plane.height).reshape(plane.height, plane.line_size)
    return rows[:, : plane.width]


def is_plain(frame: av.VideoFrame) -> bool:
    """Whether `views` can be taken of it."""
    return frame.format.name in _PLAIN and all(plane.line_size > 0 for plane in frame.planes)


@dataclass(frozen=True, slots=True)
class Layout:
    """The plain format that a kind of frame becomes.

    name: FFmpeg's. subsampling: how many pixels a chroma sample spans, across and down. meaning: of the values.
    from_rgb: it is made of RGB. margin: by how many pixels colour may have spread on the way.
    """

    name: str
    subsampling: Size
    meaning: Tags
    from_rgb: bool = False
    margin: int = 0


def layout(frame: av.VideoFrame) -> Layout:
    """What `Converter.plain` makes of `frame`."""
    form = frame.format
    colours = [part for part in form.components if not part.is_alpha]
    if form.is_rgb or form.has_palette or form.name.startswith("xyz"):
        return Layout("yuv444p", (1, 1), JPEG, from_rgb=True, margin=_SPREAD if form.name.startswith("bayer") else 0)
    if not colours:  # still in a hardware decoder's memory; swscale fetches it from there
        return Layout("yuv420p", (2, 2), tags(frame))
    if len(colours) == 1:
        return Layout("gray", (1, 1), tags(frame))
    subsampling = -(-64 // form.chroma_width(64)), -(-64 // form.chroma_height(64))
    if subsampling not in _BY_SUBSAMPLING:
        return Layout("yuv444p", (1, 1), tags(frame), margin=_SPREAD)
    return Layout(form.name if is_plain(frame) else _BY_SUBSAMPLING[subsampling], subsampling, tags(frame))


class Converter:
    """Any frame -> a frame in plain format, scaled on the way if wanted. Belongs to one thread."""

    def __init__(self) -> None:
        # swscale sets itself up anew whenever anything changes, hence one for each use.
        self._formats, self._sizes = VideoReformatter(), VideoReformatter()

    def plain(self, frame: av.VideoFrame, into: Layout, size: Size) -> av.VideoFrame:
        """`frame` in the layout found for it, at `size`. A plain frame of that size is returned itself.

        Values keep the meaning that they have, but those of RGB, which become what JPEG means.
        """
        if is_plain(frame):
            return self.scaled(frame, size)
        if into.from_rgb:
            return self._formats.reformat(
                frame,
                *size,
                into.name,
                dst_colorspace=Colorspace.ITU601,
                dst_color_range=ColorRange.JPEG,
                interpolation=SCALER | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INP,
                threads=1,
            )
        return self._same_values(self._formats, frame, into.name, size, into.meaning.full)

    def scaled(self, frame: av.VideoFrame, size: Size) -> av.VideoFrame:
        """A plain frame at `size`, with more chroma than before; itself if that is its size."""
        if size == (frame.width, frame.height):
            return frame
        return self._same_values(self._sizes, frame, frame.format.name, size, True)

    def _same_values(
        self, by: VideoReformatter, frame: av.VideoFrame, name: str, size: Size, full: bool
    ) -> av.VideoFrame:
        if size != (frame.width, frame.height):
            name = _SCALED.get(name, name)
        # The same range on both sides: colour.Mix converts it together with the matrix, for less.
        limits = ColorRange.JPEG if full else ColorRange.MPEG
        return by.reformat(
            frame, *size, name, interpolation=SCALER, src_color_range=limits, dst_color_range=limits, threads=1
        )
