"""The frames of one stream that topic `frames` still holds, in order."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from consumers.replay.span import Span
from streamer.broker import connect_consumer, kafka_error, poll, topic_missing
from streamer.errors import RecordError
from streamer.records import EndHeader, FrameHeader, parse_headers
from streamer.records.frame import Headers
from streamer.settings import Settings
from streamer.topics import partition_of, topic_names

if TYPE_CHECKING:
    from kafka import KafkaConsumer, TopicPartition
    from kafka.consumer.fetcher import ConsumerRecord

_MARGIN_MS = 60_000
"""Frames of one stream are in the order of their times, those of several are not quite: so long is looked on."""
_BACK = (100, 10_000)  # records, steps in which the newest frame is looked for


@dataclass(frozen=True, slots=True)
class RetainedFrame:
    """A frame as it is on the topic. headers: as the producer wrote them."""

    header: FrameHeader
    jpeg: bytes
    headers: Headers


class RetainedFrames:
    """Reads one stream's frames. Entered and left, by one thread; commits nothing, is in no group.

    damaged: records of the stream, so far, that no producer of ours wrote so.
    """

    def __init__(self, settings: Settings, stream: str) -> None:
        self._settings, self._stream = settings, stream
        self._topic = topic_names(settings.kafka).frames
        self._consumer: KafkaConsumer | None = None
        self._partition: TopicPartition | None = None
        self.damaged = 0

    def __enter__(self) -> Self:
        from kafka import TopicPartition

        self._consumer = connect_consumer(self._settings.kafka)
        numbers = self._consumer.partitions_for_topic(self._topic)
        if not numbers:
            self._consumer.close()
            raise topic_missing(self._settings.kafka, self._topic)
        self._partition = TopicPartition(self._topic, partition_of(self._stream, len(numbers)))
        self._consumer.assign([self._partition])
        return self

    def __exit__(self, *_: object) -> None:
        if self._consumer is not None:
            self._consumer.close()

    def within(self, span: Span) -> Iterator[RetainedFrame]:
        """Those within a span, up to the newest one that is there at the call.

        Raises:
            ServiceError: Kafka refuses us.
        """
        begin, end = self._offsets(span)
        for record in self._records(begin, end):
            header = self._header(record)
            if not isinstance(header, FrameHeader) or span.is_before(header):
                continue
            if span.is_behind(header):
                return
            yield RetainedFrame(header, record.value or b"", list(record.headers))

    def oldest(self) -> FrameHeader | None:
        """The first frame that is there; None: there is none."""
        return next((frame.header for frame in self.within(Span())), None)

    def newest(self) -> FrameHeader | EndHeader | None:
        """The last record that is there, also an end; None: there is none."""
        begin, end = self._offsets(Span())
        for back in (*_BACK, end - begin):
            found = None
            for record in self._records(max(begin, end - back), end):
                found = self._header(record) or found
            if found or end - back <= begin:
                return found
        return None

    def _offsets(self, span: Span) -> tuple[int, int]:
        """Of the first record that may be within the span, and of the first one that can't."""
        from kafka.errors import KafkaError

        assert self._consumer is not None
        one = [self._partition]
        try:
            begin: int = self._consumer.beginning_offsets(one)[self._partition]
            end: int = self._consumer.end_offsets(one)[self._partition]
            since = self._offset_at(span.begin_ms, end) if span.begin_ms is not None else begin
            until = self._offset_at(span.end_ms + _MARGIN_MS, end) if span.end_ms is not None else end
        except KafkaError as error:
            raise kafka_error(self._settings.kafka, error) from None
        return max(begin, since), until

    def _offset_at(self, unix_ms: int, end: int) -> int:
        assert self._consumer is not None
        found = self._consumer.offsets_for_times({self._partition: max(unix_ms, 0)})[self._partition]
        return int(found.offset) if found else end

    def _records(self, begin: int, end: int) -> "Iterator[ConsumerRecord]":
        """The stream's records between two offsets."""
        from kafka.errors import KafkaError

        assert self._consumer is not None
        key = self._stream.encode()
        self._consumer.seek(self._partition, begin)
        try:
            while self._consumer.position(self._partition) < end:
                for record in poll(self._consumer, 200).get(self._partition, ()):
                    if record.offset < end and record.key == key:
                        yield record
        except KafkaError as error:
            raise kafka_error(self._settings.kafka, error) from None

    def _header(self, record: "ConsumerRecord") -> FrameHeader | EndHeader | None:
        try:
            header = parse_headers(record.headers, record.timestamp)
        except RecordError:
            self.damaged += 1
            return None
        return header if header.stream == self._stream else None
