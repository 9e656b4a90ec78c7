"""What can lie on `frames` beside good pictures: bad ones, strangers' records, times of a clock that jumps."""

import struct

from streamer.moments import unix_ms
from streamer.records import EndHeader, FrameId
from tests.integration.worker_rig import Rig, header, jpeg

MINUTE_MS = 60_000
AGES_MS = [0, 0, 55 * -MINUTE_MS, 55 * -MINUTE_MS, 0, 600 * MINUTE_MS, 0, 0]
"""Of frames by a clock that jumps; the broker refuses more than an hour ahead."""


def bomb(side: int = 60_000) -> bytes:
    """30 kB that say they are a picture of 60,000 x 60,000 pixels."""
    data = bytearray(jpeg(1))
    start = data.index(b"\xff\xc0")
    data[start + 5 : start + 9] = struct.pack(">HH", side, side)
    return bytes(data) + bytes(30_000 - len(data))


def put_pictures(rig: Rig, stream: str, epoch: int = 1) -> tuple[int, int]:
    """A run of eight frames of which some are no pictures, among strangers' records.

    Returns how many are dead, and how many not.
    """
    pictures: dict[int, bytes] = {
        1: b"",
        2: b"\xff\xd8\xff",
        3: bytes(range(256)) * 100,
        4: bomb(),
        5: jpeg(5) + bytes(8 << 20),  # larger than any record may be that goes on to frames.dead; harms nobody
        6: jpeg(6)[:-200],
    }
    for number in range(8):
        big = {"width": 60_000, "height": 60_000} if number == 4 else {}
        rig.put(header(stream, number, epoch, **big), pictures.get(number))
    rig.put(EndHeader(stream, FrameId(epoch, 8), unix_ms()))
    return 5, 3


def put_strangers(rig: Rig, *streams: str) -> int:
    """Records that no producer of ours writes, under the names of streams; returns how many."""
    headers: list[list[tuple[str, bytes]]] = [
        [],
        [("ce_type", b"somebody.else")],
        [("ce_type", b"streamer.frame.v1"), ("ce_epoch", b"1e999"), ("ce_sequence", b"-1")],
        [("ce_type", b"\xff\xfe")],
    ]
    for stream in ("", *streams):
        for each in headers:
            rig.put_raw(stream.encode(), b"a stranger's", each)
    return len(headers) * (1 + len(streams))


def put_by_a_jumping_clock(rig: Rig, *streams: str, epoch: int = 1) -> int:
    """A run of each stream; the source's own time goes on all the while. Returns how many frames each has."""
    for number, age_ms in enumerate(AGES_MS):
        for stream in streams:
            rig.put(header(stream, number, epoch, age_ms=age_ms, source_time=number - age_ms / 1000))
    for stream in streams:
        rig.put(EndHeader(stream, FrameId(epoch, len(AGES_MS)), unix_ms()))
    return len(AGES_MS)
