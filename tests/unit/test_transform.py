"""Turn, crop and size: what travels, and that boxes find their way back."""

import av
import cv2
import numpy as np
import pytest
import simplejpeg

from producers.encoder import Encoded, Encoder
from producers.picture import Picture
from producers.transform import NetworkInput, cover, fit, plan
from streamer.errors import UsageError
from streamer.records.stream import Crop, StreamDefinition


def definition(**values: object) -> StreamDefinition:
    return StreamDefinition.model_validate({"id": "cam", "source": "x", **values})


def encode(
    frame: av.VideoFrame, rotation: int = 0, network: tuple[int, int] | None = None, **values: object
) -> Encoded:
    taken = NetworkInput(*network) if network else None
    return Encoder(definition(**values), taken).encode(Picture(frame, 0, 0, 0.0, None, rotation, 0))


def to_source(encoded: Encoded, x: float, y: float) -> tuple[float, float]:
    m = encoded.matrix
    return m[0] * x + m[1] * y + m[2], m[3] * x + m[4] * y + m[5]


def dotted(width: int, height: int, name: str, at: tuple[float, float], radius: float = 9) -> av.VideoFrame:
    """A frame of dark grey with one bright dot; `at` in stored pixels."""
    grey = np.full((height, width), 40, np.uint8)
    centre = [round((value - 0.5) * 16) for value in at]
    cv2.circle(grey, centre, round(radius * 16), 220, -1, cv2.LINE_AA, 4)
    return av.VideoFrame.from_ndarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), format="rgb24").reformat(format=name)


def found(encoded: Encoded) -> tuple[float, float]:
    """Where the dot lies in the JPEG; pixel centres are at +0.5."""
    grey = simplejpeg.decode_jpeg(encoded.jpeg, "GRAY")[..., 0].astype(float) - 60
    weights = np.clip(grey, 0, None)
    ys, xs = np.mgrid[: grey.shape[0], : grey.shape[1]] + 0.5
    return float((weights * xs).sum() / weights.sum()), float((weights * ys).sum() / weights.sum())


UPRIGHT = {0: lambda x, y: (x, y), 90: lambda x, y: (199 - y, x), 180: lambda x, y: (301 - x, 199 - y),
           270: lambda x, y: (y, 301 - x)}  # fmt: skip


@pytest.mark.parametrize("name", ["yuv420p", "yuv422p", "yuv444p", "nv12", "gray"])
@pytest.mark.parametrize("transport", ["full", "network", "150x150"])
@pytest.mark.parametrize("cropped", [False, True])
@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_a_point_of_the_jpeg_is_the_same_point_of_the_upright_source(
    turn: int, cropped: bool, transport: str, name: str
) -> None:
    frame = dotted(301, 199, name, at=(100, 90))
    x, y = UPRIGHT[turn](100, 90)
    crop = Crop(left=x - 61, top=y - 55, width=151, height=139) if cropped else None

    encoded = encode(frame, turn, (128, 96), crop=crop, transport=transport)

    assert (encoded.source_width, encoded.source_height) == ((301, 199) if turn % 180 == 0 else (199, 301))
    assert to_source(encoded, *found(encoded)) == pytest.approx((x, y), abs=0.25)


@pytest.mark.parametrize(("from_file", "rotate"), [(90, 0), (0, 90), (270, 180), (180, 270)])
def test_rotation_of_the_file_and_of_the_stream_add_up(from_file: int, rotate: int) -> None:
    encoded = encode(dotted(64, 48, "yuv420p", at=(20, 10)), from_file, rotate=rotate)

    assert (encoded.width, encoded.height) == (48, 64)
    assert found(encoded) == pytest.approx((48 - 10, 20), abs=0.2)


@pytest.mark.parametrize("transport", ["full", "network", "100x100"])
@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_the_jpegs_edges_are_the_crops_edges(turn: int, transport: str) -> None:
    crop = Crop(left=32, top=20, width=140, height=100)

    encoded = encode(dotted(320, 240, "yuv420p", at=(50, 50)), turn, (96, 96), crop=crop, transport=transport)

    assert to_source(encoded, 0, 0) == (32, 20)
    assert to_source(encoded, encoded.width, encoded.height) == (172, 120)


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
@pytest.mark.parametrize("subsampling", [(1, 1), (2, 1), (2, 2)])
def test_never_more_than_the_crop_travels(turn: int, subsampling: tuple[int, int]) -> None:
    wanted = Crop(left=31, top=21, width=50, height=37)

    cut = plan(definition(crop=wanted), (201, 133), turn, subsampling).cut

    assert 0 <= cut.left - wanted.left < 2
    assert 0 <= cut.top - wanted.top < 2
    assert 0 <= wanted.left + wanted.width - cut.left - cut.width < 2
    assert 0 <= wanted.top + wanted.height - cut.top - cut.height < 2
    if subsampling == (1, 1):
        assert (cut.width, cut.height) == (50, 37)


def test_an_odd_picture_that_does_not_turn_travels_whole() -> None:
    encoded = encode(dotted(301, 199, "yuv420p", at=(50, 50)))

    assert (encoded.width, encoded.height, encoded.matrix) == (301, 199, (1, 0, 0, 0, 1, 0))


@pytest.mark.parametrize(
    ("size", "into", "expected"),
    [
        ((768, 432), (416, 416), (416, 234)),
        ((432, 768), (416, 416), (234, 416)),
        ((640, 480), (640, 384), (512, 384)),
        ((320, 240), (416, 416), (320, 240)),  # never enlarged
        ((416, 416), (416, 416), (416, 416)),
        ((10_000, 3), (416, 416), (416, 1)),
    ],
)
def test_fit(size: tuple[int, int], into: tuple[int, int], expected: tuple[int, int]) -> None:
    assert fit(size, into) == expected


@pytest.mark.parametrize(
    ("size", "over", "expected"),
    [
        ((1920, 1080), (352, 352), (626, 352)),
        ((1080, 1920), (352, 352), (352, 626)),
        ((640, 480), (640, 384), (640, 480)),
        ((320, 240), (416, 160), (320, 240)),  # never enlarged
        ((416, 416), (416, 416), (416, 416)),
        ((10_000, 3), (416, 416), (10_000, 3)),  # not even where it is only a few pixels high
    ],
)
def test_cover(size: tuple[int, int], over: tuple[int, int], expected: tuple[int, int]) -> None:
    assert cover(size, over) == expected


@pytest.mark.parametrize(
    ("transport", "turn", "size"),
    [("network", 0, (114, 64)), ("network", 90, (64, 114)), ("64x64", 0, (64, 36)), ("full", 0, (256, 144))],
)
def test_what_a_network_stretches_travels_no_smaller_than_its_input(
    transport: str, turn: int, size: tuple[int, int]
) -> None:
    taken = NetworkInput(64, 64, stretched=True)
    assert plan(definition(transport=transport), (256, 144), turn, (2, 2), taken).size == size


def test_network_transport_without_a_network_yet_travels_in_full() -> None:
    encoded = encode(dotted(64, 48, "yuv420p", at=(9, 9)), transport="network")

    assert (encoded.width, encoded.height) == (64, 48)


def test_a_crop_beyond_the_edge_is_cut_there() -> None:
    encoded = encode(dotted(64, 48, "yuv420p", at=(9, 9)), crop=Crop(left=32, top=16, width=500, height=500))

    assert (encoded.width, encoded.height) == (32, 32)


def test_a_crop_outside_of_the_picture_is_named() -> None:
    with pytest.raises(UsageError, match="stream cam: crop at 100,0 lies outside of the picture, which is 64x48"):
        encode(dotted(64, 48, "yuv420p", at=(9, 9)), crop=Crop(left=100, top=0, width=16, height=16))


def test_a_source_may_change_its_size_on_the_way() -> None:
    encoder = Encoder(definition(transport="network"), NetworkInput(96, 96))
    sizes = []
    for width, height in ((192, 96), (64, 48), (192, 96)):
        encoded = encoder.encode(Picture(dotted(width, height, "yuv420p", at=(9, 9)), 0, 0, 0.0, None, 0, 0))
        sizes.append((encoded.width, encoded.height, encoded.source_width))

    assert sizes == [(96, 48, 192), (64, 48, 64), (96, 48, 192)]


@pytest.mark.parametrize("turn", [0, 90])
def test_the_decoders_own_memory_is_not_written_to(turn: int) -> None:
    frame = dotted(64, 48, "yuv420p", at=(20, 20))
    before = [bytes(plane) for plane in frame.planes]

    encode(frame, turn, masks=[{"points": [(0, 0), (40, 0), (40, 40)]}])

    assert [bytes(plane) for plane in frame.planes] == before
