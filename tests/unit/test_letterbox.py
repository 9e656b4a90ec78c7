"""Where pictures lie in a network's input, and what is written there."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.letterbox import PAD_VALUE, Letterbox, Padding, Placement


@pytest.mark.parametrize(
    ("padding", "size", "place"),
    [
        ("centre", (768, 432), (0, 91, 416, 234)),
        ("top-left", (768, 432), (0, 0, 416, 234)),
        ("stretch", (768, 432), (0, 0, 416, 416)),
        ("centre", (432, 768), (91, 0, 234, 416)),
        ("centre", (100, 101), (2, 0, 412, 416)),
        ("centre", (416, 416), (0, 0, 416, 416)),
        ("centre", (10_000, 1), (0, 207, 416, 1)),
        ("top-left", (1, 10_000), (0, 0, 1, 416)),
    ],
)
def test_place(padding: Padding, size: tuple[int, int], place: tuple[int, int, int, int]) -> None:
    assert Letterbox(416, 416, padding, 1.0).place(*size) == place


@pytest.mark.parametrize(
    ("padding", "size", "wanted"),
    [
        ("centre", (768, 432), (416, 234)),
        ("top-left", (768, 432), (416, 234)),
        ("centre", (320, 240), (320, 240)),
        ("centre", (1080, 1920), (234, 416)),
        ("centre", (10_000, 1), (416, 1)),
        ("stretch", (768, 432), (740, 416)),
        ("stretch", (320, 240), (320, 240)),
        ("stretch", (1080, 1920), (416, 740)),
        ("stretch", (832, 400), (832, 400)),
    ],
)
def test_wanted_size(padding: Padding, size: tuple[int, int], wanted: tuple[int, int]) -> None:
    assert Letterbox(416, 416, padding, 1.0).wanted_size(*size) == wanted


@given(st.integers(1, 5000), st.integers(1, 5000), st.sampled_from(["centre", "top-left", "stretch"]))
def test_boxes_come_back(width: int, height: int, padding: Padding) -> None:
    letterbox = Letterbox(416, 320, padding, 1.0)
    left, top, inner_width, inner_height = letterbox.place(width, height)
    assert left + inner_width <= 416
    assert top + inner_height <= 320
    placement = Placement(inner_width / width, inner_height / height, left, top, width, height)
    corners = np.array([[left, top, left + inner_width, top + inner_height], [-50, -50, 999, 999]], np.float32)

    back = placement.to_picture(corners)

    assert back.dtype == np.float32
    np.testing.assert_allclose(back, [[0, 0, width, height]] * 2, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("factor", [1.0, 1 / 255])
@pytest.mark.parametrize("padding", ["centre", "top-left", "stretch"])
def test_every_pixel_is_written(padding: Padding, factor: float, dtype: type) -> None:
    letterbox = Letterbox(32, 24, padding, factor)
    picture = np.random.default_rng(1).integers(0, 256, (12, 32, 3), dtype=np.uint8)
    slot = np.full((3, 24, 32), np.nan, dtype)

    letterbox.prepare(picture, (32, 12), slot)

    assert not np.isnan(slot).any()
    if padding != "stretch":
        expected = np.full((24, 32, 3), PAD_VALUE, np.float64)
        top = 6 if padding == "centre" else 0
        expected[top : top + 12] = picture
        np.testing.assert_allclose(slot, expected.transpose(2, 0, 1) * factor, rtol=1e-3)


@pytest.mark.parametrize("size", [(32, 24), (32, 12), (12, 24), (40, 40), (200, 40), (1, 90)])
@pytest.mark.parametrize("padding", ["centre", "top-left", "stretch"])
def test_bytes_are_the_floats_before_their_factor(padding: Padding, size: tuple[int, int]) -> None:
    picture = np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    floats, in_bytes = np.empty((3, 24, 32), np.float32), np.zeros((24, 32, 3), np.uint8)

    expected = Letterbox(32, 24, padding, 1.0).prepare(picture, size, floats)
    letterbox = Letterbox(32, 24, padding, 1 / 255)

    assert letterbox.prepare_bytes(picture, size, in_bytes) == expected
    assert (in_bytes == floats.transpose(1, 2, 0)).all()
    assert letterbox.prepare_bytes(picture, size, in_bytes, expected) == expected
    assert (in_bytes == floats.transpose(1, 2, 0)).all()


def test_a_border_that_stays_is_left_alone_and_any_other_is_written() -> None:
    letterbox = Letterbox(32, 32, "centre", 1.0)
    slot = np.full((3, 32, 32), np.nan, np.float32)
    wide, high = np.zeros((16, 32, 3), np.uint8), np.zeros((32, 16, 3), np.uint8)

    first = letterbox.prepare(wide, (32, 16), slot)
    slot[:, 0] = 7
    assert letterbox.prepare(wide, (32, 16), slot, first) == first
    assert (slot[:, 0] == 7).all()
    letterbox.prepare(high, (16, 32), slot, first)
    assert (slot[:, :, :8] == PAD_VALUE).all()
    assert (slot[:, :, 24:] == PAD_VALUE).all()
    assert (slot[:, :, 8:24] == 0).all()


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_placement_is_for_the_whole_picture_not_for_its_smaller_copy(scale: int) -> None:
    letterbox = Letterbox(64, 64, "centre", 1.0)
    picture = np.zeros((48 * scale, 64 * scale, 3), np.uint8)
    picture[: 24 * scale, : 32 * scale] = 255
    slot = np.empty((3, 64, 64), np.float32)

    placement = letterbox.prepare(picture, (640, 480), slot)

    assert (slot[:, 9:30, 1:30] == 255).all()
    np.testing.assert_allclose(placement.to_picture(np.array([[0, 8, 32, 32]], np.float32)), [[0, 0, 320, 240]])
