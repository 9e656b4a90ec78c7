"""Records of strangers on topic `frames`, such as no producer of ours writes: a worker goes on with the next."""

import struct
from contextlib import closing
from typing import Any

import pytest
from kafka import KafkaProducer, codec
from kafka.record import default_records

from streamer.broker import connect_producer
from streamer.records import EndHeader, FrameId
from streamer.topics import partition_of, topic_names
from tests.integration.worker_rig import Rig, ends, header, jpeg, outline, read_records, running


class NotUtf8(str):
    """The key of a header, as another program may write it."""

    def encode(self, *_: Any) -> bytes:
        return b"\xff\xfe"


def stored_lz4(payload: Any) -> bytes:
    """An LZ4 frame of one block that is not compressed: https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md."""
    data = bytes(payload)
    return bytes.fromhex("04224d18604082") + struct.pack("<I", len(data) | 1 << 31) + data + bytes(4)


def put_compressed(rig: Rig, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """A batch in a format that kafka-python needs another package for."""
    with monkeypatch.context() as patched:
        known = KafkaProducer._COMPRESSORS
        patched.setitem(known, "lz4", (lambda: True, known["lz4"][1]))
        patched.setattr(codec, "has_lz4", lambda: True)
        patched.setattr(default_records, "lz4_encode", stored_lz4)
        topic = topic_names(rig.settings.kafka).frames
        with closing(connect_producer(rig.settings.kafka, compression_type="lz4", linger_ms=200)) as producer:
            for sent in [producer.send(topic, jpeg(n), b"a") for n in range(count)]:
                sent.get(timeout=20)


def test_records_that_can_t_be_read_do_not_stop_the_rest(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.define("a")
    rig.put(header("a", 0))
    rig.put_raw(b"a", b"value", [(NotUtf8("name"), b"value")])
    rig.put(header("a", 1))
    put_compressed(rig, monkeypatch, 5)
    rig.put(header("a", 2))
    rig.put_raw(b"a", None)
    rig.put_raw(None, b"", [("ce_type", b"streamer.frame.v1"), ("ce_type", b"")])
    with running(rig.settings):
        rig.put(header("a", 3))
        put_compressed(rig, monkeypatch, 1)
        rig.put(EndHeader("a", FrameId(1, 4), 1))
        rows = rig.detections(ends("a"))
    assert outline(rows, "a") == ["0", "1", "2", "3", "4 end"]


@pytest.mark.parametrize("key", [b"b", b"c", None])
def test_a_frame_under_another_key_is_a_strangers(rig: Rig, key: bytes | None) -> None:
    """Also on the partition of its stream, which a and b share and c does not."""
    partitions = [partition_of(stream, rig.settings.topics.partitions) for stream in "abc"]
    assert partitions[0] == partitions[1] != partitions[2]
    rig.define("a", "b", "c")
    for sequence in range(3):
        rig.put(header("a", sequence))
    for forged in (header("a", 1), header("a", 30), EndHeader("a", FrameId(1, 40), 1)):
        rig.put_raw(key, jpeg(0), forged.to_headers(), 1)
    with running(rig.settings):
        dead = read_records(rig.settings, topic_names(rig.settings.kafka).dead, lambda found: len(found) >= 3)
        rig.put_run("b", 2)
        rig.put_run("c", 2)
        rig.put(header("a", 3))
        rig.put(EndHeader("a", FrameId(1, 4), 1))
        rows = rig.detections(ends("a", "b", "c"))
    assert outline(rows, "a") == ["0", "1", "2", "3", "4 end"]
    assert outline(rows, "b") == outline(rows, "c") == ["0", "1", "2 end"]
    assert {dict(record.headers)["dead_cause"] for record in dead} == {b"stranger"}
