"""A picture becomes the JPEG that travels: turned, cut, masked, scaled and converted on its planes, then encoded.

No step goes through RGB, and none runs that a picture does not need: a plain one at full size is encoded from the
decoder's own memory.
"""

import time
from dataclasses import dataclass

import av
import cv2
import numpy as np
import simplejpeg

from producers import metrics
from producers.colour import Mix, Plane
from producers.masks import Masks
from producers.picture import Picture
from producers.planes import Converter, Layout, is_plain, layout, views
from producers.transform import Geometry, NetworkInput, Rectangle, Size, plan
from streamer.errors import SourceError, UsageError
from streamer.records.frame import Matrix
from streamer.records.stream import StreamDefinition

_ROTATIONS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
_TURNED = {"yuv422p": "yuv440p", "yuvj422p": "yuvj440p", "yuv440p": "yuv422p", "yuvj440p": "yuvj422p"}


@dataclass(frozen=True, slots=True)
class Encoded:
    """A picture as it travels; the fields are those of FrameHeader.

    width, height: of the JPEG. source_width, source_height: of the whole upright picture.
    matrix: JPEG pixels -> upright source pixels.
    """

    jpeg: bytes
    width: int
    height: int
    source_width: int
    source_height: int
    matrix: Matrix


@dataclass(frozen=True, slots=True)
class _Route:
    """What is done to pictures of one kind.

    sheet: our own frame to cut, turn and mask in, before scaling; None if that is not needed.
    """

    layout: Layout
    geometry: Geometry
    sheet: av.VideoFrame | None
    masks: Masks | None
    mix: Mix


class Encoder:
    """Encodes the pictures of one stream. Belongs to one thread; lets others run while it scales and encodes."""

    def __init__(self, definition: StreamDefinition, network: NetworkInput | None) -> None:
        """network: input of the pipeline's network, for transport `network`; None: not known, then such a stream
        travels in full.
        """
        self._definition = definition
        self._network = network
        self._converter = Converter()
        self._kind: object = None
        self._route: _Route | None = None

    def encode(self, picture: Picture) -> Encoded:
        """The picture as the stream's definition wants it to travel.

        Raises:
            UsageError: the crop or a mask is not in the picture; nothing of the stream may travel.
            SourceError: this picture can't be encoded: a pixel format that FFmpeg can't convert.
        """
        try:
            began = time.perf_counter()
            route = self._route_of(picture)
            planes = self._planes(picture.frame, route)
            transformed = time.perf_counter()
            jpeg = self._encode(planes, route)
        except (av.FFmpegError, ValueError) as error:
            name = picture.frame.format.name
            raise SourceError(f"picture {picture.index}, format {name}, can't be encoded: {error}") from None
        metrics.TRANSFORM.observe(transformed - began)
        metrics.ENCODE.observe(time.perf_counter() - transformed)
        geometry = route.geometry
        return Encoded(jpeg, *geometry.size, *geometry.source, geometry.matrix)

    def _route_of(self, picture: Picture) -> _Route:
        frame = picture.frame
        kind = (
            frame.format.name,
            frame.width,
            frame.height,
            picture.rotation,
            frame.colorspace,
            frame.color_range,
            is_plain(frame),
        )
        if self._route is None or kind != self._kind:
            self._route = self._plan(picture)
            self._kind = kind
        return self._route

    def _plan(self, picture: Picture) -> _Route:
        definition, frame = self._definition, picture.frame
        form = layout(frame)
        stored = frame.width, frame.height
        geometry = plan(definition, stored, picture.rotation, form.subsampling, self._network)
        sheet = masks = None
        if geometry.turn or definition.masks or (geometry.scaled and not geometry.whole):
            name = _TURNED.get(form.name, form.name) if geometry.turn in (90, 270) else form.name
            sheet = av.VideoFrame(geometry.cut.width, geometry.cut.height, name)
        if sheet and definition.masks:
            try:
                masks = Masks(definition.masks, geometry.source, geometry.cut, views(sheet), form.margin)
            except UsageError as error:
                raise UsageError(f"stream {definition.id}: {error}") from None
        return _Route(form, geometry, sheet, masks, Mix(form.meaning))

    def _planes(self, frame: av.VideoFrame, route: _Route) -> list[Plane]:
        """What travels, scaled; the values as the source's tags mean them. May be the decoder's own memory."""
        geometry, sheet = route.geometry, route.sheet
        if sheet is None and geometry.whole:
            return views(self._converter.plain(frame, route.layout, geometry.size))
        plain = self._converter.plain(frame, route.layout, (frame.width, frame.height))
        parts = _cut(views(plain), geometry.stored_cut, route.layout.subsampling)
        if sheet is None:
            return parts
        drawn = views(sheet)
        for part, out in zip(parts, drawn, strict=True):
            if geometry.turn:
                cv2.rotate(part, _ROTATIONS[geometry.turn], dst=out)
            else:
                np.copyto(out, part)
        if route.masks:
            route.masks.draw(drawn)
        return views(self._converter.scaled(sheet, geometry.size))

    def _encode(self, planes: list[Plane], route: _Route) -> bytes:
        luma, *chroma = route.mix.apply(planes)
        if not chroma:
            return bytes(simplejpeg.encode_jpeg_yuv_planes(luma, None, None, quality=self._definition.quality))
        luma = _whole_samples(luma, chroma[0])
        return bytes(simplejpeg.encode_jpeg_yuv_planes(luma, *chroma, quality=self._definition.quality))


def _whole_samples(luma: Plane, chroma: Plane) -> Plane:
    """`luma`, with defined memory behind an odd last row and column.

    libjpeg-turbo takes a luma plane to be as large as all that its chroma covers: it reads on there, past the end
    of the memory or into what an earlier picture left behind, and writes that into the JPEG.
    """
    height, width = luma.shape
    below = height % 2 if chroma.shape[0] < height else 0
    beside = width % 2 if chroma.shape[1] < width else 0
    if not below and not beside:
        return luma
    padded: Plane = cv2.copyMakeBorder(luma, 0, below, 0, beside, cv2.BORDER_REPLICATE)
    return padded[:height, :width]


def _cut(planes: list[Plane], area: Rectangle, subsampling: Size) -> list[Plane]:
    across, down = subsampling
    luma = planes[0][area.top : area.top + area.height, area.left : area.left + area.width]
    # The cut begins on the chroma grid; rounded up at its end, as the picture's own odd edges are.
    rows = slice(area.top // down, -(-(area.top + area.height) // down))
    columns = slice(area.left // across, -(-(area.left + area.width) // across))
    return [luma, *(plane[rows, columns] for plane in planes[1:])]
