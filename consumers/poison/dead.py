"""The record that a worker writes to `frames.dead`."""

from consumers.entry import Entry
from streamer.records import EndHeader, FrameHeader
from streamer.records.dead import dead_headers

Record = tuple[bytes, bytes | None, list[tuple[str, bytes]]]
"""Key, value, headers."""


def dead_record(entry: Entry, pipeline: str, most_bytes: int) -> Record:
    """The frame as it came, and why it is dead.

    Of a record that no producer of ours wrote, or that is too large for the topic, only the reference is kept: where
    it was and its SHA-256.
    """
    header = entry.header
    assert entry.dead is not None
    captured_ms = header.captured_ms if header else entry.polled_ms
    said = dead_headers(entry.dead, pipeline, (entry.partition, entry.offset), captured_ms, entry.jpeg)
    if not isinstance(header, FrameHeader | EndHeader):
        return b"stranger", None, said
    headers = [*entry.headers, *said]
    size = len(entry.jpeg) + sum(len(key) + len(text) for key, text in headers)
    return header.stream.encode(), entry.jpeg if size <= most_bytes else None, headers
