"""A worker at a log of which a part is gone, or needn't be read: each hole has the right reason, whosever it is."""

from contextlib import closing

from kafka import TopicPartition

from streamer.broker import connect_admin, connect_consumer
from streamer.records import EndHeader, FrameId
from streamer.topics import partition_of, topic_names
from tests.integration.worker_rig import Rig, ends, header, outline, running


def neighbours(rig: Rig, count: int) -> list[str]:
    """Names of streams that share a partition of `frames`."""
    names = [f"s{number}" for number in range(100)]
    partitions = rig.settings.topics.partitions
    return [name for name in names if partition_of(name, partitions) == partition_of(names[0], partitions)][:count]


def delete_frames(rig: Rig, stream: str) -> None:
    """Everything that is in the stream's partition of `frames` by now, as retention does."""
    topic = topic_names(rig.settings.kafka).frames
    with closing(connect_consumer(rig.settings.kafka)) as consumer, closing(connect_admin(rig.settings.kafka)) as admin:
        where = TopicPartition(topic, partition_of(stream, rig.settings.topics.partitions))
        admin.delete_records(consumer.end_offsets([where]))


def end(stream: str, epoch: int, sequence: int) -> EndHeader:
    return EndHeader(stream, FrameId(epoch, sequence), 1)


def test_what_retention_deleted_is_expired_for_every_stream_of_the_partition(rig: Rig) -> None:
    first, other, ended = neighbours(rig, 3)
    rig.define(first, other, ended)
    for stream in (first, other):
        rig.put(header(stream, 0))
    rig.put_run(ended, 1)
    with running(rig.settings):
        rig.detections(lambda rows: len(rows) == 4)
    for sequence in (1, 2):
        for stream in (first, other):
            rig.put(header(stream, sequence))
    rig.put_run(ended, 3, epoch=5)
    delete_frames(rig, first)
    rig.put_raw(b"nobody", b"a stranger's record")
    for stream in (first, other):
        rig.put(header(stream, 3))
        rig.put(header(stream, 5))
        rig.put(end(stream, 1, 6))
    rig.put_run(ended, 1, epoch=9)
    with running(rig.settings):
        rows = rig.detections(lambda rows: ends(first, other)(rows) and _runs(rows, ended) == 2)
    for stream in (first, other):
        assert outline(rows, stream) == ["0", "1-2 expired", "3", "4-4 dropped", "5", "6 end"]
    assert outline(rows, ended) == ["0", "1 end", "0-None expired", "0", "1 end"]


def test_what_was_skipped_is_stale_also_after_a_take_over(rig: Rig) -> None:
    fresh, idle, ended = neighbours(rig, 3)
    rig.define(fresh, idle, ended, freshness="latest")
    for stream in (fresh, idle):
        rig.put(header(stream, 0))
    rig.put_run(ended, 1)
    with running(rig.settings):
        rig.detections(lambda rows: _runs(rows, ended) == 1 and outline(rows, idle) == ["0"])
    for sequence in range(1, 200):
        rig.put(header(fresh, sequence, age_ms=60_000))
    for sequence in range(3):
        rig.put(header(idle, 1 + sequence, age_ms=60_000))
        rig.put(header(ended, sequence, epoch=5, age_ms=60_000))
    rig.put(header(fresh, 200))
    with running(rig.settings):
        rig.detections(lambda rows: "200" in outline(rows, fresh))
    rig.put(header(idle, 4))
    rig.put(end(idle, 1, 5))
    rig.put_run(ended, 1, epoch=9)
    with running(rig.settings):
        rows = rig.detections(lambda rows: _runs(rows, ended) == 2)
    assert outline(rows, idle) == ["0", "1-3 stale", "4", "5 end"]
    assert outline(rows, ended) == ["0", "1 end", "0-None stale", "0", "1 end"]


def _runs(rows: list[dict[str, object]], stream: str) -> int:
    return sum(row["kind"] == "end" and row["sensorId"] == stream for row in rows)
