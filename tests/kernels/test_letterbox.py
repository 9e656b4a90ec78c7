"""The letterbox kernels against the letterbox of the CPU workers: equal to the last bit from RGB."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engines.engine import InputSpec
from engines.letterbox import Letterbox, Padding
from engines.model import Colour, ModelInfo
from engines.tensorrt import pictures as table
from tests.kernels.on_cpu import Kernels, picture_row

SIZES = [
    (768, 432),  # linear, smaller
    (100, 60),  # linear, larger
    (3, 2),
    (1, 1),
    (416, 416),  # as it is
    (417, 415),
    (832, 832),  # area, 2 x 2
    (1248, 1248),  # area, a whole number
    (1280, 720),  # area
    (1000, 701),
    (2000, 3),  # less than a pixel high
    (3, 2000),
]


def model(padding: Padding, colour: Colour, factor: float) -> ModelInfo:
    return ModelInfo(Path("m"), "", 416, 416, (), "yolov8", "", padding, colour, factor, "file")


def spec(dtype: Any = np.float32, batch: int = 1) -> InputSpec:
    return InputSpec(416, 416, batch, True, np.dtype(dtype))


def picture(width: int, height: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def on_cpu(info: ModelInfo, given: NDArray[np.uint8], size: tuple[int, int], dtype: Any) -> NDArray[Any]:
    slot = np.empty((3, 416, 416), dtype)
    ordered = given if info.colour == "RGB" else np.ascontiguousarray(given[:, :, ::-1])
    info.letterbox.prepare(ordered, size, slot)
    return slot


@pytest.mark.parametrize("padding", ["centre", "top-left", "stretch"])
@pytest.mark.parametrize("size", SIZES)
def test_as_the_cpu_letterbox_to_the_last_bit(kernels_once: Kernels, size: tuple[int, int], padding: Padding) -> None:
    info, given = model(padding, "RGB", 1 / 255), picture(*size)
    rows = np.zeros(1, table.PICTURE)
    placement = picture_row(rows, 0, given, size, info.letterbox)

    [tensor] = kernels_once.letterbox(rows, spec(), info)

    np.testing.assert_array_equal(tensor, on_cpu(info, given, size, np.float32))
    assert placement == info.letterbox.prepare(given, size, np.empty((3, 416, 416), np.float32))


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("factor", [1 / 255, 1.0])
@pytest.mark.parametrize("colour", ["RGB", "BGR"])
def test_types_factors_and_colours(kernels: Kernels, colour: Colour, factor: float, dtype: Any) -> None:
    info, given = model("centre", colour, factor), picture(640, 480)
    rows = np.zeros(1, table.PICTURE)
    picture_row(rows, 0, given, (640, 480), info.letterbox)

    [tensor] = kernels.letterbox(rows, spec(dtype), info)

    np.testing.assert_array_equal(tensor, on_cpu(info, given, (640, 480), dtype))


def test_a_batch_of_several_sizes_scales_and_pitches_and_a_slot_that_is_empty(kernels: Kernels) -> None:
    info, wide = model("centre", "RGB", 1.0), np.zeros((100, 256, 3), np.uint8)
    wide[:, :200] = picture(200, 100, 1)
    given = [picture(768, 432), wide[:, :200], picture(320, 240, 2)]
    sizes = [(768, 432), (200, 100), (1280, 960)]  # the last was decoded at a quarter
    rows = np.zeros(4, table.PICTURE)
    for number, (one, size) in enumerate(zip(given, sizes, strict=True)):
        picture_row(rows, number, one, size, info.letterbox)
    table.write_border(rows[3:])

    tensor = kernels.letterbox(rows, spec(batch=4), info)

    for slot, one, size in zip(tensor, given, sizes, strict=False):
        np.testing.assert_array_equal(slot, on_cpu(info, np.ascontiguousarray(one), size, np.float32))
    assert (tensor[3] == 114).all()


SHARES = {"BT601": (0.299, 0.114), "BT709": (0.2126, 0.0722)}


def rgb(luma: NDArray[np.uint8], chroma: NDArray[np.uint8], colours: table.Colours) -> NDArray[np.uint8]:
    """NV12 as RGB, in float64, each chroma sample for its four pixels."""
    red_share, blue_share = SHARES[colours.name[:5]]
    y, c = luma.astype(np.float64), chroma.astype(np.float64).repeat(2, 0).repeat(2, 1) - 128
    if colours.name.endswith("LIMITED"):
        y, c = (y - 16) * 255 / 219, c * 255 / 224
    red, blue = y + 2 * (1 - red_share) * c[..., 1], y + 2 * (1 - blue_share) * c[..., 0]
    green = (y - red_share * red - blue_share * blue) / (1 - red_share - blue_share)
    return np.clip(np.rint(np.stack([red, green, blue], 2)), 0, 255).astype(np.uint8)


NV12_SIZES = [(768, 432), (1280, 720), (416, 416)]


def nv12(width: int, height: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Luma and chroma of noise."""
    random = np.random.default_rng(4)
    luma = random.integers(0, 256, (height, width), dtype=np.uint8)
    return luma, random.integers(0, 256, (height // 2, width // 2, 2), dtype=np.uint8)


def as_from_rgb(tensor: NDArray[Any], info: ModelInfo, picture: NDArray[np.uint8]) -> None:
    """The letterbox of NV12 is that of the same picture in RGB, but that float32 rounds the other way at times."""
    difference = np.abs(tensor - on_cpu(info, picture, picture.shape[1::-1], np.float32))
    assert difference.max() <= 1
    assert difference.mean() < 1e-3


@pytest.mark.parametrize("colours", table.Colours)
@pytest.mark.parametrize("size", NV12_SIZES)
def test_nv12_in_every_colour_space(kernels_once: Kernels, size: tuple[int, int], colours: table.Colours) -> None:
    width, height = size
    luma, chroma = nv12(*size)
    info, rows = model("centre", "RGB", 1.0), np.zeros(1, table.PICTURE)
    where = (luma.ctypes.data, width, width, height, chroma.ctypes.data, width)
    table.write_picture(rows, 0, table.Pixels(*where, colours), size, info.letterbox)

    [tensor] = kernels_once.letterbox(rows, spec(), info, "nv12")

    as_from_rgb(tensor, info, rgb(luma, chroma, colours))


@pytest.mark.parametrize(
    ("yuv", "colours", "expected"),
    [
        ((16, 128, 128), table.Colours.BT601_LIMITED, (0, 0, 0)),
        ((235, 128, 128), table.Colours.BT709_LIMITED, (255, 255, 255)),
        ((255, 128, 128), table.Colours.BT601_FULL, (255, 255, 255)),
        ((76, 85, 255), table.Colours.BT601_FULL, (254, 0, 0)),
        ((63, 102, 240), table.Colours.BT709_LIMITED, (255, 1, 0)),
    ],
)
def test_known_colours(kernels: Kernels, yuv: tuple[int, ...], colours: table.Colours, expected: Any) -> None:
    luma, chroma = np.full((416, 416), yuv[0], np.uint8), np.empty((208, 208, 2), np.uint8)
    chroma[:] = yuv[1:]
    info, rows = model("centre", "RGB", 1.0), np.zeros(1, table.PICTURE)
    where = (luma.ctypes.data, 416, 416, 416, chroma.ctypes.data, 416)
    table.write_picture(rows, 0, table.Pixels(*where, colours), (416, 416), info.letterbox)
    [tensor] = kernels.letterbox(rows, spec(), info, "nv12")
    np.testing.assert_allclose(tensor[:, 100, 100], expected, atol=1)


@pytest.mark.parametrize(("name", "dtype"), [("picture", table.PICTURE), ("input", table.INPUT)])
def test_both_sides_agree_on_the_layout(kernels_once: Kernels, name: str, dtype: np.dtype[Any]) -> None:
    assert kernels_once.size_of(name) == dtype.itemsize


def test_the_letterbox_is_for_what_its_kernel_was_told() -> None:
    assert table.method(833, 400, 416, 400) == table.Method.AREA
    assert table.method(831, 799, 416, 400) == table.Method.LINEAR
    assert table.method(832, 200, 416, 400) == table.Method.AREA_ENLARGED
    assert Letterbox(416, 416, "centre", 1.0).place(832, 832) == (0, 0, 416, 416)
