"""Privacy masks: what is under them is in no byte that leaves, whatever else happens to the picture."""

import av
import cv2
import numpy as np
import pytest
import simplejpeg
from numpy.typing import NDArray

from producers.encoder import Encoder
from producers.picture import Picture
from producers.transform import NetworkInput
from streamer.errors import UsageError
from streamer.records.stream import StreamDefinition

WIDTH, HEIGHT = 150, 101
Outline = list[tuple[float, float]]
SHAPES: dict[str, Outline] = {
    "triangle": [(20.5, 15.25), (90, 30), (45.5, 80)],
    "concave": [(20, 20), (100, 20), (100, 80), (60, 35), (20, 80)],
    "star": [(75, 5), (100, 90), (30, 35), (120, 35), (50, 90)],
    "over the edge": [(-40, -30), (60, -10), (55, 200)],
    "far over the edge": [(-90_000, -90_000), (90_000, -90_000), (70, 60)],
    "thin": [(10, 10), (140, 90), (140, 90.1)],
    "twice around": [(20, 20), (90, 20), (90, 80), (20, 80), (20, 20), (90, 20), (90, 80), (20, 80)],
}


def definition(points: Outline, mode: str = "fill", **values: object) -> StreamDefinition:
    record = {"id": "cam", "source": "x", "masks": [{"points": points, "mode": mode}], **values}
    return StreamDefinition.model_validate(record)


def noise(seed: int, name: str) -> av.VideoFrame:
    pixels = np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    return av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format=name)


def inside(points: Outline, width: int = WIDTH, height: int = HEIGHT) -> NDArray[np.bool_]:
    """Pixels of which a part lies in the polygon (non-zero rule), found by sampling each at 4x4 points."""
    ys, xs = (np.mgrid[: height * 4, : width * 4] + 0.5) / 4
    windings = np.zeros(ys.shape, int)
    for (x0, y0), (x1, y1) in zip(points, points[1:] + points[:1], strict=True):
        left = (x1 - x0) * (ys - y0) - (xs - x0) * (y1 - y0)
        windings += ((y0 <= ys) & (y1 > ys) & (left > 0)).astype(int)
        windings -= ((y0 > ys) & (y1 <= ys) & (left < 0)).astype(int)
    found: NDArray[np.bool_] = (windings != 0).reshape(height, 4, width, 4).any((1, 3))
    return found


def changed_under(frame: av.VideoFrame, covered: NDArray[np.bool_], turn: int) -> av.VideoFrame:
    """`frame` with all samples that show a pixel of `covered` (upright) changed."""
    stored = np.rot90(covered, turn // 90)  # anticlockwise: back
    other = av.VideoFrame(frame.width, frame.height, frame.format.name)
    other.colorspace, other.color_range = frame.colorspace, frame.color_range
    wide = 2 if "10" in frame.format.name else 1
    for number, (old, new) in enumerate(zip(frame.planes, other.planes, strict=True)):
        samples = np.frombuffer(old, np.uint8).reshape(old.height, -1)[:, : old.line_size].copy()
        interleaved = 2 if len(frame.planes) == 2 and number else 1
        across, down = -(-stored.shape[1] // old.width), -(-stored.shape[0] // old.height)
        padded = np.pad(stored, ((0, old.height * down - stored.shape[0]), (0, old.width * across - stored.shape[1])))
        touched = padded.reshape(old.height, down, old.width, across).any((1, 3)).repeat(interleaved * wide, 1)
        part = samples[:, : touched.shape[1]]
        part[touched] ^= 0x2A if wide == 1 else 1
        np.frombuffer(new, np.uint8).reshape(new.height, -1)[:] = samples
    return other


def encode(definition: StreamDefinition, frame: av.VideoFrame, turn: int = 0) -> bytes:
    return Encoder(definition, NetworkInput(96, 96)).encode(Picture(frame, 0, 0, 0.0, None, turn, 0)).jpeg


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
@pytest.mark.parametrize("name", ["yuv420p", "yuv422p", "yuv444p", "nv12", "yuv420p10le", "gray"])
@pytest.mark.parametrize("transport", ["full", "network"])
def test_not_a_bit_of_the_jpeg_depends_on_what_is_under_a_filled_mask(transport: str, name: str, turn: int) -> None:
    frame = noise(1, name)
    size = (WIDTH, HEIGHT) if turn % 180 == 0 else (HEIGHT, WIDTH)
    for points in (SHAPES["triangle"], SHAPES["star"]):
        stream = definition(points, transport=transport)

        other = changed_under(frame, inside(points, *size), turn)

        assert bytes(other.planes[0]) != bytes(frame.planes[0])
        assert encode(stream, other, turn) == encode(stream, frame, turn)


@pytest.mark.parametrize("crop", [None, {"left": 33, "top": 21, "width": 71, "height": 55}], ids=["whole", "cropped"])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_is_covered(shape: str, crop: dict[str, int] | None) -> None:
    frame, stream = noise(2, "yuv420p"), definition(SHAPES[shape], crop=crop)

    other = changed_under(frame, inside(SHAPES[shape]), 0)

    assert encode(stream, other) == encode(stream, frame)


@pytest.mark.parametrize("seed", range(20))
def test_every_polygon_is_covered(seed: int) -> None:
    corners = np.random.default_rng(seed).uniform(-20, 170, (3 + seed % 6, 2))
    points = [(float(x), float(y)) for x, y in corners]
    frame, stream = noise(3, "yuv420p"), definition(points)

    other = changed_under(frame, inside(points), 0)

    assert encode(stream, other) == encode(stream, frame)


@pytest.mark.parametrize("shape", ["triangle", "concave", "star", "over the edge"])
def test_what_is_not_masked_stays(shape: str) -> None:
    covered = cv2.dilate(inside(SHAPES[shape]).astype(np.uint8), np.ones((21, 21), np.uint8)).astype(bool)
    frame = noise(4, "yuv444p")

    masked = simplejpeg.decode_jpeg(encode(definition(SHAPES[shape], quality=100), frame), "RGB")
    plain = StreamDefinition(id="cam", source="x", quality=100)
    unmasked = simplejpeg.decode_jpeg(encode(plain, frame), "RGB")

    assert (~covered).any()
    assert np.abs(masked[~covered].astype(int) - unmasked[~covered]).max() <= 1


def test_a_filled_mask_is_grey() -> None:
    decoded = simplejpeg.decode_jpeg(encode(definition(SHAPES["concave"], quality=100), noise(5, "yuv420p")), "RGB")

    assert np.abs(decoded[24:30, 24:96].astype(int) - 128).max() <= 6


def test_a_pixelated_mask_shows_large_blocks_only() -> None:
    points = [(16, 16), (128, 16), (128, 80), (16, 80)]
    frame = noise(6, "yuv420p")

    decoded = simplejpeg.decode_jpeg(encode(definition(points, "pixelate", quality=100), frame), "GRAY")[..., 0]

    inner, steps = decoded[20:76, 20:124].astype(int), 6
    assert (np.abs(np.diff(inner, axis=1)) > steps).any(0).sum() <= 112 // 16 + 1
    assert (np.abs(np.diff(inner, axis=0)) > steps).any(1).sum() <= 64 // 16 + 1


def test_a_pixelated_mask_knows_blocks_means_only() -> None:
    """What the blocks average out is gone: a fine pattern and plain grey give the same picture."""
    points = [(0.0, 0.0), (WIDTH, 0), (WIDTH, HEIGHT), (0, HEIGHT)]
    board = (np.indices((HEIGHT, WIDTH)).sum(0) % 2 * 100 + 78).astype(np.uint8)
    frames = [av.VideoFrame.from_ndarray(grey, format="gray") for grey in (board, np.full_like(board, 128))]

    fine, plain = (
        simplejpeg.decode_jpeg(encode(definition(points, "pixelate"), frame), "GRAY").astype(int) for frame in frames
    )

    assert np.abs(fine - plain).max() <= 2


@pytest.mark.parametrize(
    "points",
    [
        [(500, 500), (600, 500), (600, 600)],
        [(-50, -50), (-10, -50), (-10, -10)],
        [(0, 0), (float("nan"), 5), (5, 5)],
        [(0, 0), (float("inf"), 5), (5, 5)],
        [(0, 0), (1e9, 5), (5, 5)],
    ],
)
def test_a_mask_that_covers_nothing_stops_the_stream(points: Outline) -> None:
    """Its author meant to hide something: no picture is better than one that should have been masked."""
    good = [(10.0, 10.0), (20, 10), (20, 20)]
    stream = StreamDefinition.model_validate(
        {"id": "cam", "source": "x", "masks": [{"points": good}, {"points": points}]}
    )
    encoder, frame = Encoder(stream, None), noise(7, "yuv420p")

    for _ in range(2):
        with pytest.raises(UsageError, match="stream cam: mask 2 covers nothing of the picture, which is 150x101"):
            encoder.encode(Picture(frame, 0, 0, 0.0, None, 0, 0))


def test_a_mask_outside_of_the_crop_is_fine() -> None:
    crop = {"left": 100, "top": 0, "width": 50, "height": 50}

    assert encode(definition([(5, 5), (30, 5), (5, 30)], crop=crop), noise(8, "yuv420p"))
