"""The size of a JPEG, read from its segments, is what the decoder makes of it."""

import contextlib

import cv2
import numpy as np
import pytest
import simplejpeg
from hypothesis import given
from hypothesis import strategies as st

from engines.jpeg import jpeg_size

COMMENT = b"\xff\xfe\x00\x06note"


def encoded(width: int, height: int, *options: int) -> bytes:
    picture = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    return bytes(cv2.imencode(".jpg", picture, options)[1])


@pytest.mark.parametrize(("width", "height"), [(1, 1), (7, 3), (416, 234), (1920, 8)])
@pytest.mark.parametrize(
    "options", [(), (cv2.IMWRITE_JPEG_PROGRESSIVE, 1), (cv2.IMWRITE_JPEG_RST_INTERVAL, 2)], ids=str
)
def test_of_any_kind(width: int, height: int, options: tuple[int, ...]) -> None:
    assert jpeg_size(encoded(width, height, *options)) == (width, height)


@pytest.mark.parametrize("between", [COMMENT, b"\xff" + COMMENT, COMMENT * 3, b"\xff\xe1\x00\x02"], ids=bytes.hex)
def test_with_other_segments_or_fill_bytes_before_the_frame(between: bytes) -> None:
    jpeg = encoded(20, 10)
    assert jpeg_size(jpeg[:2] + between + jpeg[2:]) == (20, 10)


@pytest.mark.parametrize("damaged", [b"", b"\xff", b"\xff\xd8", b"not a JPEG at all", encoded(20, 10)[:30]], ids=len)
def test_of_none(damaged: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        jpeg_size(damaged)


@given(st.integers(0, 400), st.binary(min_size=1, max_size=8))
def test_of_a_damaged_one_it_is_the_decoder_s_or_the_decoder_refuses_it(at: int, noise: bytes) -> None:
    jpeg = bytearray(encoded(20, 10))
    jpeg[at : at + len(noise)] = noise
    with contextlib.suppress(ValueError):
        height, width = simplejpeg.decode_jpeg_header(bytes(jpeg))[:2]
        assert jpeg_size(bytes(jpeg)) == (width, height)
