"""What is read of a partition's log, and from where on."""

from types import SimpleNamespace
from typing import Any

import pytest
from kafka import TopicPartition

from consumers.entry import Row
from consumers.mirroring import log_tail
from consumers.mirroring.log_tail import LogTail
from streamer.records import FrameId, Result
from streamer.settings import Settings


class Consumer:
    """Of logs without a young record, to which one is committed behind the first question about them."""

    _fetcher = SimpleNamespace(_next_partition_records=None)

    def __init__(self) -> None:
        self._end = 7
        self.positions: dict[str, int] = {}
        self.polled: dict[TopicPartition, list[Any]] = {}

    def assign(self, _: object) -> None:
        """Nothing to do."""

    def offsets_for_times(self, times: dict[TopicPartition, int]) -> dict[TopicPartition, Any]:
        self._end = 8
        return dict.fromkeys(times)

    def end_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        end, self._end = self._end, 8
        return dict.fromkeys(partitions, end)

    def seek(self, where: TopicPartition, offset: int) -> None:
        self.positions[where.topic] = offset

    def poll(self, **_: object) -> dict[TopicPartition, list[Any]]:
        return self.polled


@pytest.fixture
def consumer(monkeypatch: pytest.MonkeyPatch) -> Consumer:
    consumer = Consumer()
    monkeypatch.setattr(log_tail, "connect_consumer", lambda *_, **__: consumer)
    return consumer


def test_what_is_committed_while_the_begin_is_looked_for_is_read(consumer: Consumer) -> None:
    LogTail(Settings(), 0, 600).read()
    assert consumer.positions == {"detections": 7, "events": 7}


def test_records_come_with_when_they_were_written(consumer: Consumer) -> None:
    result = Result("main", "a", FrameId(1, 0), 0, 8, 8, ())
    written = SimpleNamespace(value=result.to_json(), timestamp=1_700_000_000_123)
    consumer.polled = {TopicPartition("detections", 3): [written]}
    assert LogTail(Settings(), 3, 600).read() == [Row(3, result, written.value, written.timestamp)]
