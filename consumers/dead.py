"""The record on `frames.dead`: a frame that can't be decoded, and why."""

import hashlib

from consumers.entry import Entry
from streamer.records import EndHeader, FrameHeader


def dead_record(entry: Entry, most_bytes: int) -> tuple[bytes, bytes | None, list[tuple[str, bytes]]]:
    """Key, value and headers on `frames.dead`: the frame as it came, and why it is dead.

    Of a record that no producer of ours wrote, or that is too large, only the reference is kept: where it
    was and its SHA-256.
    """
    header = entry.header
    about = [
        ("dead_reason", entry.dead.encode()),
        ("dead_partition", b"%d" % entry.partition),
        ("dead_offset", b"%d" % entry.offset),
        ("dead_sha256", hashlib.sha256(entry.jpeg).hexdigest().encode()),
    ]
    if not isinstance(header, FrameHeader | EndHeader):
        return b"stranger", None, about
    keep = len(entry.jpeg) <= most_bytes
    return header.stream.encode(), entry.jpeg if keep else None, [*entry.headers, *about]
