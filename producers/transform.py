"""Where a source's pixels go: turn, crop and size of what travels, and the way back for boxes."""

from dataclasses import dataclass

from streamer.errors import UsageError
from streamer.records.frame import Matrix
from streamer.records.stream import Crop, StreamDefinition

Size = tuple[int, int]
"""Width and height in pixels."""


@dataclass(frozen=True, slots=True)
class Rectangle:
    """Whole pixels."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class NetworkInput:
    """What transport `network` is made for. stretched: pictures are stretched to width x height, not fitted in."""

    width: int
    height: int
    stretched: bool = False


@dataclass(frozen=True, slots=True)
class Geometry:
    """What is done to the pictures of a source, all of one size.

    turn: degrees clockwise (0, 90, 180, 270) from the stored picture to the upright one.
    source: size of the whole upright picture.
    cut: what travels of it, in upright pixels. stored_cut: the same in stored pixels.
    size: of the JPEG; never larger than `cut`.
    """

    turn: int
    source: Size
    cut: Rectangle
    stored_cut: Rectangle
    size: Size

    @property
    def whole(self) -> bool:
        """Whether all of the picture travels."""
        return (self.cut.width, self.cut.height) == self.source

    @property
    def scaled(self) -> bool:
        """Whether it travels smaller than it is."""
        return self.size != (self.cut.width, self.cut.height)

    @property
    def matrix(self) -> Matrix:
        """JPEG pixels -> upright source pixels; the JPEG's edges come to lie on the cut's edges exactly."""
        width, height = self.size
        return (self.cut.width / width, 0.0, float(self.cut.left), 0.0, self.cut.height / height, float(self.cut.top))


def plan(
    definition: StreamDefinition, stored: Size, rotation: int, subsampling: Size, network: NetworkInput | None = None
) -> Geometry:
    """How pictures of size `stored` travel.

    rotation: degrees clockwise that the source itself asks for; the definition's come on top.
    subsampling: how many pixels a chroma sample spans, across and down.
    network: input of the pipeline's network, for transport `network`; None: not known, travels in full.

    A cut begins where a chroma sample begins, and ends where one ends if the picture turns (its end is a beginning
    then), so it may lack a row or column of what the definition asks for: never does more travel than that.

    Raises:
        UsageError: nothing of the picture is inside the crop.
    """
    turn = (rotation + definition.rotate) % 360
    source = stored[::-1] if turn in (90, 270) else stored
    wanted = _clip(definition.crop, source, definition.id)
    stored_cut = _to_chroma_grid(_to_stored(wanted, stored, turn), stored, subsampling, turn)
    cut = _to_upright(stored_cut, stored, turn)
    return Geometry(turn, source, cut, stored_cut, _travelling_size((cut.width, cut.height), definition, network))


def fit(size: Size, into: Size) -> Size:
    """`size` scaled to fit `into` with its aspect kept, never enlarged: the part of a letterbox that is picture."""
    scale = min(into[0] / size[0], into[1] / size[1], 1)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def cover(size: Size, over: Size) -> Size:
    """`size` scaled to cover `over` with its aspect kept, never enlarged: what can be stretched to it without loss."""
    scale = min(1, max(over[0] / size[0], over[1] / size[1]))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _travelling_size(cut: Size, definition: StreamDefinition, network: NetworkInput | None) -> Size:
    if definition.transport != "network":
        limit = definition.transport_size
        return fit(cut, limit) if limit else cut
    if network is None:
        return cut
    return (cover if network.stretched else fit)(cut, (network.width, network.height))


def _clip(crop: Crop | None, source: Size, stream: str) -> Rectangle:
    if crop is None:
        return Rectangle(0, 0, *source)
    width, height = min(crop.width, source[0] - crop.left), min(crop.height, source[1] - crop.top)
    if width < 2 or height < 2:
        raise UsageError(
            f"stream {stream}: crop at {crop.left},{crop.top} lies outside of the picture, "
            f"which is {source[0]}x{source[1]}: set it in upright source pixels"
        )
    return Rectangle(crop.left, crop.top, width, height)


def _to_stored(area: Rectangle, stored: Size, turn: int) -> Rectangle:
    # Turning back is turning on by the rest of the circle, in the upright picture's size.
    upright = stored[::-1] if turn in (90, 270) else stored
    return _to_upright(area, upright, -turn % 360)


def _to_upright(area: Rectangle, stored: Size, turn: int) -> Rectangle:
    left, top, width, height = area.left, area.top, area.width, area.height
    right, bottom = stored[0] - left - width, stored[1] - top - height
    if turn == 90:
        return Rectangle(bottom, left, height, width)
    if turn == 180:
        return Rectangle(right, bottom, width, height)
    if turn == 270:
        return Rectangle(top, right, height, width)
    return area


def _to_chroma_grid(area: Rectangle, stored: Size, subsampling: Size, turn: int) -> Rectangle:
    left, width = _inwards(area.left, area.width, stored[0], subsampling[0], turn != 0)
    top, height = _inwards(area.top, area.height, stored[1], subsampling[1], turn != 0)
    return Rectangle(left, top, width, height)


def _inwards(start: int, length: int, limit: int, step: int, both: bool) -> tuple[int, int]:
    end = start + length
    start += -start % step
    # A cut that ends within a chroma sample is drawn with that sample's colour, as at a picture's own odd edge,
    # but not for a cut inside the picture: that sample holds colour from beyond the cut.
    if (both or end < limit) and end - start > step:
        end -= end % step
    return start, end - start
