"""Where the reading of a partition's log begins."""

from typing import Any

import pytest
from kafka import TopicPartition

from consumers import log_tail
from consumers.log_tail import LogTail
from streamer.settings import Settings


class Consumer:
    """Of logs without a young record, to which one is committed behind the first question about them."""

    def __init__(self) -> None:
        self._end = 7
        self.positions: dict[str, int] = {}

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
        return {}


def test_what_is_committed_while_the_begin_is_looked_for_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    consumer = Consumer()
    monkeypatch.setattr(log_tail, "connect_consumer", lambda *_, **__: consumer)
    LogTail(Settings(), 0, 600).read()
    assert consumer.positions == {"detections": 7, "events": 7}
