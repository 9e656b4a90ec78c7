"""Where a stream stands: its last record on topic `frames`. The log itself is the position.

The partition is read backwards in growing pieces until all wanted streams are found: one pass for all of them. Kafka
can't give headers without pictures, so a stream that is far back, or nowhere, costs reading all that lies before it:
about 8 s for 20,000 frames of 36 kB. Hence the limit.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from streamer.broker import connect_consumer, kafka_error, poll
from streamer.errors import RecordError, ServiceError
from streamer.lifecycle import Deadline
from streamer.records.frame import EndHeader, FrameHeader, parse_headers
from streamer.settings import Settings
from streamer.topics import topic_names

if TYPE_CHECKING:
    from kafka import KafkaConsumer, TopicPartition

FIRST_PIECE, LARGEST_PIECE, GROWTH = 64, 4096, 4
STUCK_S = 15.0
_FETCH_BYTES = 2 << 20  # about a first piece; what is fetched beyond is thrown away, and its memory is kept


@dataclass(frozen=True, slots=True)
class Position:
    """The last record of a stream.

    index: of the last picture in its source, source_time: its time there; of an end: 0 and None.
    captured_ms: the record's Kafka timestamp.
    ended: the run is over; error: why, empty if the source came to its end.
    """

    epoch: int
    sequence: int
    index: int
    captured_ms: int
    source_time: float | None = None
    ended: bool = False
    error: str = ""

    @classmethod
    def of(cls, header: FrameHeader | EndHeader) -> "Position":
        """The position that a record stands for."""
        epoch, sequence = header.id.epoch, header.id.sequence
        if isinstance(header, EndHeader):
            return cls(epoch, sequence, 0, header.captured_ms, ended=True, error=header.error)
        return cls(epoch, sequence, header.index, header.captured_ms, header.source_time)


@dataclass(frozen=True, slots=True)
class Start:
    """Where a run begins, or goes on.

    sequence, index: of the first frame to come, and of its picture in the source.
    after: source time in seconds of the last frame before, None if there is none. For sampling.
    captured_ms: Kafka timestamp that the next may not fall below.
    """

    epoch: int
    sequence: int = 0
    index: int = 0
    after: float | None = None
    captured_ms: int = 0


def start_anew(last_epoch: int, now_ms: int, captured_ms: int = 0) -> Start:
    """A run from the source's beginning: its epoch is larger than any that the stream had."""
    return Start(max(now_ms, last_epoch + 1), captured_ms=captured_ms)


def start_from(last: Position | None, live: bool, now_ms: int) -> Start:
    """A run of a file that was broken off goes on behind its last frame; every other begins anew."""
    if last is None:
        return start_anew(0, now_ms)
    if live or last.ended:
        return start_anew(last.epoch, now_ms, last.captured_ms)
    return Start(last.epoch, last.sequence + 1, last.index + 1, last.source_time, last.captured_ms)


def find_positions(
    settings: Settings, streams: Iterable[str], partition_of: Callable[[str], int], limit_s: float
) -> dict[str, Position]:
    """The last record of each of `streams` that has one in its partition.

    limit_s: for all. A stream not found by then gets a position that says that no run of it can be gone on with,
        and that no epoch of the streams there is larger.

    Raises:
        ServiceError: the log can't be read.
    """
    from kafka import TopicPartition
    from kafka.errors import KafkaError

    wanted: dict[int, set[str]] = defaultdict(set)
    for stream in streams:
        wanted[partition_of(stream)].add(stream)
    if not wanted:
        return {}
    consumer = connect_consumer(settings.kafka, max_partition_fetch_bytes=_FETCH_BYTES, fetch_max_wait_ms=20)
    deadline = Deadline(limit_s)
    found: dict[str, Position] = {}
    try:
        for number, names in wanted.items():
            partition = TopicPartition(topic_names(settings.kafka).frames, number)
            found |= _scan(consumer, partition, names, deadline)
    except KafkaError as error:
        raise kafka_error(settings.kafka, error) from error
    finally:
        consumer.close()
    return found


def _scan(
    consumer: "KafkaConsumer", partition: "TopicPartition", wanted: set[str], deadline: Deadline
) -> dict[str, Position]:
    consumer.assign([partition])
    begin = consumer.beginning_offsets([partition])[partition]
    end = consumer.end_offsets([partition])[partition]
    found: dict[str, Position] = {}
    piece, latest = FIRST_PIECE, 0
    while end > begin and not wanted <= found.keys():
        if latest and deadline.passed:
            far = Position(latest, 0, 0, 0, ended=True, error="too far back")
            return {**dict.fromkeys(wanted, far), **found}
        start = max(begin, end - piece)
        newest = _read(consumer, partition, start, end)
        found = {**{name: newest[name] for name in wanted & newest.keys()}, **found}
        # An epoch is the time when its run began, so none is larger than the times of later records.
        latest = max(latest, *(max(each.epoch, each.captured_ms) for each in newest.values()), 1)
        end, piece = start, min(piece * GROWTH, LARGEST_PIECE)
    return found


def _read(consumer: "KafkaConsumer", partition: "TopicPartition", start: int, end: int) -> dict[str, Position]:
    """The last record per stream with an offset from `start` to before `end`."""
    newest: dict[str, Position] = {}
    consumer.seek(partition, start)
    stuck = Deadline(STUCK_S)
    while consumer.position(partition) < end:
        if stuck.passed:
            raise ServiceError(f"topic {partition.topic} gives no records")
        for record in poll(consumer, 200, max_records=500).get(partition, ()):
            stuck = Deadline(STUCK_S)
            if record.offset < end:
                _note(newest, record.headers, record.timestamp)
    return newest


def _note(newest: dict[str, Position], headers: list[tuple[str, bytes]], timestamp: int) -> None:
    try:
        header = parse_headers(headers, timestamp)
    except RecordError:
        return  # not ours; the worker reports it
    position = Position.of(header)
    last = newest.get(header.stream)
    # A repeat after a crash lies behind newer records: it is not where the stream stands.
    if last is None or (position.epoch, position.sequence) >= (last.epoch, last.sequence):
        newest[header.stream] = position
