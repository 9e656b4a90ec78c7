"""Saturated colour bars through the encoder, per combination of tags: the JPEG shows the picture's own colours."""

import itertools
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import simplejpeg
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from numpy.typing import NDArray

from producers.encoder import Encoder
from producers.picture import Picture
from streamer.records.stream import StreamDefinition

Rgb = NDArray[np.uint8]

# Kr and Kb as in ITU-R BT.601, BT.709 and BT.2020, by the number in AVFrame.colorspace.
MATRICES = {"601": (6, 0.299, 0.114), "709": (1, 0.2126, 0.0722), "2020": (9, 0.2627, 0.0593)}
SWSCALE = {"601": Colorspace.ITU601, "709": Colorspace.ITU709, "2020": Colorspace.BT2020}
SUBSAMPLING = {"420": (2, 2), "422": (2, 1), "444": (1, 1), "440": (1, 2)}


def bars(width: int, height: int) -> Rgb:
    """All corners of the colour cube, and half-saturated ones below."""
    colours = np.array(list(itertools.product((0, 255), repeat=3)), np.uint8)
    row = colours[np.minimum(np.arange(width) * 8 // width, 7)]
    picture = np.repeat(row[None], height, 0)
    picture[height // 2 :] = picture[height // 2 :] // 2 + 64
    return picture


def yuv_frame(rgb: Rgb, matrix: str, full: bool, subsampling: str, bits: int) -> av.VideoFrame:
    """`rgb` as planes, by the formulas of the standards; chroma averaged over the pixels of a sample."""
    code, red, blue = MATRICES[matrix]
    r, g, b = np.moveaxis(rgb.astype(np.float64) / 255, 2, 0)
    luma = red * r + (1 - red - blue) * g + blue * b
    chroma = (b - luma) / (2 - 2 * blue), (r - luma) / (2 - 2 * red)
    unit = 1 << (bits - 8)
    if full:
        top = (1 << bits) - 1
        values = [luma * top, *(c * top + 128 * unit for c in chroma)]
    else:
        values = [(luma * 219 + 16) * unit, *((c * 224 + 128) * unit for c in chroma)]
    across, down = SUBSAMPLING[subsampling]
    values[1:] = [shrink(plane, across, down) for plane in values[1:]]
    frame = av.VideoFrame(rgb.shape[1], rgb.shape[0], f"yuv{subsampling}p" + (f"{bits}le" if bits > 8 else ""))
    write(frame, [np.clip(np.round(v), 0, (1 << bits) - 1) for v in values], bits)
    frame.colorspace, frame.color_range = code, 2 if full else 1
    return frame


def shrink(plane: NDArray[np.float64], across: int, down: int) -> NDArray[np.float64]:
    padded = np.pad(plane, ((0, -plane.shape[0] % down), (0, -plane.shape[1] % across)), "edge")
    averaged: NDArray[np.float64] = padded.reshape(
        padded.shape[0] // down, down, padded.shape[1] // across, across
    ).mean((1, 3))
    return averaged


def write(frame: av.VideoFrame, values: list[NDArray[np.float64]], bits: int = 8) -> None:
    dtype = np.uint8 if bits == 8 else np.dtype("<u2")
    for plane, value in zip(frame.planes, values, strict=True):
        rows = np.frombuffer(plane, dtype).reshape(plane.height, -1)
        rows[:, : value.shape[1]] = value


def through(frame: av.VideoFrame, quality: int = 95, transport: str = "full") -> Rgb:
    encoder = Encoder(StreamDefinition(id="bars", source="x", quality=quality, transport=transport), None)
    encoded = encoder.encode(Picture(frame, 0, 0, 0.0, None, 0, 0))
    decoded: Rgb = simplejpeg.decode_jpeg(encoded.jpeg, "RGB")
    assert decoded.shape[:2] == (encoded.height, encoded.width)
    return decoded


def error(one: Rgb, other: Rgb) -> float:
    return float(np.abs(one.astype(int) - other).mean())


@pytest.mark.parametrize("size", [(640, 96), (641, 97)], ids=["even", "odd"])
@pytest.mark.parametrize("bits", [8, 10])
@pytest.mark.parametrize("subsampling", ["420", "422", "444", "440"])
@pytest.mark.parametrize("full", [False, True], ids=["limited", "full"])
@pytest.mark.parametrize("matrix", MATRICES)
def test_bars_keep_their_colours(matrix: str, full: bool, subsampling: str, bits: int, size: tuple[int, int]) -> None:
    frame = yuv_frame(bars(*size), matrix, full, subsampling, bits)

    decoded = through(frame)

    assert error(decoded, own_rgb(frame, matrix, full)) < 2


def own_rgb(frame: av.VideoFrame, matrix: str, full: bool) -> Rgb:
    converted = VideoReformatter().reformat(
        frame,
        format="rgb24",
        src_colorspace=SWSCALE[matrix],
        src_color_range=ColorRange.JPEG if full else ColorRange.MPEG,
        dst_color_range=ColorRange.JPEG,
        interpolation=Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT,
    )
    rgb: Rgb = converted.to_ndarray()
    return rgb


@pytest.mark.parametrize("full", [False, True], ids=["limited", "full"])
@pytest.mark.parametrize("matrix", MATRICES)
def test_what_swscale_is_told_is_what_the_standards_say(matrix: str, full: bool) -> None:
    """The comparison above would prove little if swscale misread the frame in the same way as we do."""
    picture = bars(640, 96)

    assert error(own_rgb(yuv_frame(picture, matrix, full, "444", 8), matrix, full), picture) < 1


@pytest.mark.parametrize("bits", [8, 10])
def test_colours_hold_when_scaled_down(bits: int) -> None:
    frame = yuv_frame(bars(1280, 192), "709", False, "420", bits)

    decoded = through(frame, transport="640x640")

    assert decoded.shape == (96, 640, 3)
    assert error(decoded, bars(640, 96)) < 2


@pytest.mark.parametrize(
    ("name", "matrix", "full", "height"),
    [
        ("yuv420p", "601", False, 576),
        ("yuv420p", "709", False, 720),
        ("yuvj420p", "601", True, 576),
        ("yuvj420p", "601", True, 720),
        ("nv12", "709", False, 1080),
        ("p010le", "709", False, 720),
        ("yuyv422", "601", False, 480),
    ],
)
def test_untagged_is_709_from_720_lines_on_and_limited_but_for_yuvj(
    name: str, matrix: str, full: bool, height: int
) -> None:
    picture = bars(320, height)
    subsampling, bits = ("422", 8) if name == "yuyv422" else ("420", 10 if name == "p010le" else 8)
    frame = yuv_frame(picture, matrix, full, subsampling, bits)
    if name.startswith("yuvj"):
        planes = [np.frombuffer(p, np.uint8).reshape(p.height, -1)[:, : p.width] for p in frame.planes]
        frame = av.VideoFrame(320, height, name)
        write(frame, planes)
    elif name != frame.format.name:
        frame = frame.reformat(format=name)
    frame.colorspace, frame.color_range = 2, 0

    assert error(through(frame), own_rgb(yuv_frame(picture, matrix, full, "420", 8), matrix, full)) < 2


@pytest.mark.parametrize("name", ["rgb24", "bgr24", "gbrp", "rgba", "bgr0", "gbrp10le", "rgb48le", "pal8"])
@pytest.mark.parametrize("size", [(640, 96), (641, 97)], ids=["even", "odd"])
def test_rgb_sources(name: str, size: tuple[int, int]) -> None:
    frame = av.VideoFrame.from_ndarray(bars(*size), format="rgb24")
    if name == "pal8":
        frame = palette(bars(*size))
    elif name != "rgb24":
        frame = frame.reformat(format=name)

    assert error(through(frame), bars(*size)) < 2


def palette(rgb: Rgb) -> av.VideoFrame:
    colours, indexes = np.unique(rgb.reshape(-1, 3), axis=0, return_inverse=True)
    entries = np.zeros((256, 4), np.uint8)
    entries[: len(colours)] = np.c_[np.full(len(colours), 255), colours]  # ARGB
    return av.VideoFrame.from_ndarray((indexes.reshape(rgb.shape[:2]).astype(np.uint8), entries), format="pal8")


@pytest.mark.parametrize(
    ("name", "color_range", "black", "white"),
    [("gray", 0, 0, 255), ("gray", 1, 16, 235), ("gray", 2, 0, 255), ("gray10le", 0, 0, 1023), ("ya8", 0, 0, 255)],
)
def test_grey_stays_grey(name: str, color_range: int, black: int, white: int) -> None:
    ramp = np.tile(np.linspace(black, white, 256), (32, 1))
    frame = av.VideoFrame(256, 32, "gray10le" if name == "gray10le" else "gray")
    write(frame, [ramp.round()], 10 if name == "gray10le" else 8)
    if name == "ya8":
        frame = frame.reformat(format="ya8")
    frame.color_range = color_range

    decoded = through(frame)

    assert error(decoded, np.tile(np.arange(256)[None, :, None], (32, 1, 3)).astype(np.uint8)) < 2


def test_luma_below_black_and_above_white_is_cut_off() -> None:
    frame = av.VideoFrame(64, 32, "yuv420p")
    luma = np.where(np.arange(64) < 32, 0.0, 255.0)[None].repeat(32, 0)
    write(frame, [luma, np.full((16, 32), 128.0), np.full((16, 32), 128.0)])
    frame.colorspace, frame.color_range = 1, 1

    decoded = through(frame, 100)

    assert decoded[:, :24].max() <= 3
    assert decoded[:, 40:].min() >= 252


@pytest.mark.parametrize("codec", ["mjpeg", "h264"])
def test_planes_straight_from_a_decoder(codec: str, tmp_path: Path) -> None:
    """Odd sizes come out of decoders with padded rows and, for H.264, cut off macroblocks."""
    picture = bars(250, 66)
    path = f"{tmp_path}/bars.avi"
    with av.open(path, "w") as container:
        name, full = ("yuvj420p", True) if codec == "mjpeg" else ("yuv420p", False)
        stream = container.add_stream("mjpeg" if codec == "mjpeg" else "libx264", Fraction(25))
        stream.width, stream.height, stream.pix_fmt = 250, 66, name
        stream.options = {"qmin": "1", "qmax": "1"} if codec == "mjpeg" else {"crf": "1"}
        frame = yuv_frame(picture, "601", full, "420", 8)
        frame = frame.reformat(format=name, src_color_range=1 + full, dst_color_range=1 + full)
        container.mux([*stream.encode(frame), *stream.encode(None)])
    with av.open(path) as container:
        decoded = next(container.decode(video=0))

    assert error(through(decoded), own_rgb(yuv_frame(picture, "601", full, "420", 8), "601", full)) < 3
