"""Reading results: typed records from Kafka, also from a point in time, and the newest ones from Redis.

>>> for record in Results(streams=["gate"]):  # doctest: +SKIP
...     print(record)
"""

import logging
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Literal, Self, TypeVar

from streamer.broker import connect_consumer, offsets_since, poll, topic_missing
from streamer.errors import RecordError, ServiceError
from streamer.mirror import Keys, connect_redis, redis_error
from streamer.moments import Moment, unix_seconds
from streamer.records import DeadFrame, Detection, Event, Result, parse_dead, parse_detection
from streamer.settings import Settings, load
from streamer.topics import topic_names

if TYPE_CHECKING:
    from kafka import KafkaConsumer, TopicPartition
    from kafka.consumer.fetcher import ConsumerRecord

log = logging.getLogger(__name__)


def load_settings(file: Path | None = None) -> Settings:
    """Settings from a file and the environment; without addresses in them, those of the running one-machine stack.

    Raises:
        UsageError: with every mistake in one message.
    """
    from streamer.stack import with_stack_addresses

    return with_stack_addresses(load(file))


R = TypeVar("R", Detection, Event, DeadFrame)


class Reader(Generic[R]):
    """The records of a topic that workers write: see Results and Events.

    Only committed records, each once; those of one stream in the order of its frames. Belongs to one thread.

    settings: None means load_settings().
    pipeline: whose records; None: those of all.
    streams: names of the streams wanted, or one name; None: all.
    since: records written from then on: a moment, "10m" (ago) or "2026-01-31T12:00"; "now": from open() on; None:
        everything that the topic still holds.
    until: records written before then, which must not be in the future; implies follow=False.
    follow: wait for new records for ever; False: end behind the last record that was there at open().

    Raises:
        UsageError: since or until is a text that is no time.
    """

    _parse: Callable[[bytes], R]
    _log: Literal["detections", "events", "dead"]

    def __init__(
        self,
        settings: Settings | None = None,
        pipeline: str | None = "main",
        streams: Collection[str] | None = None,
        since: Moment | None = None,
        follow: bool = True,
        until: Moment | None = None,
    ) -> None:
        self._settings = settings
        self._pipeline = pipeline
        self._streams = None if streams is None else frozenset([streams] if isinstance(streams, str) else streams)
        self._from_now = since == "now"
        self._since = None if since is None or self._from_now else unix_seconds(since)
        self._until = None if until is None else unix_seconds(until)
        self._follow = follow and until is None
        self._topic = ""
        self._consumer: KafkaConsumer | None = None
        self._ends: dict[TopicPartition, int] = {}
        self.skipped = 0  # records that are none of ours, or damaged

    def open(self) -> None:
        """Connects and fixes where reading begins and, if it has an end, where it ends.

        Raises:
            ServiceError: Kafka can't be reached, refuses us, or has no such topic.
        """
        if self._consumer is not None:
            return
        kafka = (self._settings or load_settings()).kafka
        self._topic = getattr(topic_names(kafka), self._log)
        consumer = connect_consumer(kafka)
        try:
            with _kafka_errors(self._topic):
                partitions = _partitions(consumer, self._topic)
                if not partitions:
                    raise topic_missing(kafka, self._topic)
                consumer.assign(partitions)
                self._go_to_begin(consumer, partitions)
                if not self._follow:
                    self._ends = offsets_since(consumer, partitions, self._until)
        except BaseException:
            consumer.close()
            raise
        self._consumer = consumer

    def _go_to_begin(self, consumer: "KafkaConsumer", partitions: "list[TopicPartition]") -> None:
        if self._since is None and not self._from_now:
            begins = consumer.beginning_offsets(partitions)
        else:
            begins = offsets_since(consumer, partitions, self._since)
        for partition, offset in begins.items():
            consumer.seek(partition, offset)

    def poll(self, timeout_s: float) -> list[R]:
        """What came within `timeout_s`, as soon as there is anything; perhaps nothing.

        Raises:
            ServiceError: Kafka refuses us.
        """
        self.open()
        assert self._consumer is not None
        with _kafka_errors(self._topic):
            polled = poll(self._consumer, round(timeout_s * 1000))
        records = (record for batch in polled.values() for record in batch if not self._is_behind_end(record))
        parsed = (self._parsed(record) for record in records)
        return [record for record in parsed if record is not None and self._is_wanted(record)]

    @property
    def finished(self) -> bool:
        """Whether everything up to the end was read; never where there is no end."""
        if self._follow or self._consumer is None:
            return False
        return all(self._consumer.position(partition) >= end for partition, end in self._ends.items())

    def __iter__(self) -> Iterator[R]:
        self.open()
        while self._consumer is not None and not self.finished:
            yield from self.poll(0.2)

    def close(self) -> None:
        """Ends the connection, and an iteration at its next record. May be called again."""
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _is_behind_end(self, record: "ConsumerRecord") -> bool:
        if self._follow:
            return False
        from kafka import TopicPartition

        return bool(record.offset >= self._ends[TopicPartition(record.topic, record.partition)])

    def _parsed(self, record: "ConsumerRecord") -> R | None:
        if self._streams is not None and (record.key or b"").decode(errors="replace") not in self._streams:
            return None
        try:
            return self._read(record)
        except RecordError as error:
            self.skipped += 1
            where = {"partition": record.partition, "offset": record.offset}
            log.warning("left out a record on %s: %s", record.topic, error, extra=where)
            return None

    def _read(self, record: "ConsumerRecord") -> R:
        return self._parse(record.value)

    def _is_wanted(self, record: R) -> bool:
        return self._pipeline is None or record.pipeline == self._pipeline


class Results(Reader[Detection]):
    """The records of topic `detections`: a Result per frame, a Gap per range without one, an End per finished run."""

    _log = "detections"
    _parse = staticmethod(parse_detection)


class Events(Reader[Event]):
    """The records of topic `events`: what became of tracked objects, in zones and at lines."""

    _log = "events"
    _parse = staticmethod(Event.from_json)


class DeadFrames(Reader[DeadFrame]):
    """The records of topic `frames.dead`: frames that nobody could do; those of one pipeline and stream in order."""

    _log = "dead"

    def _read(self, record: "ConsumerRecord") -> DeadFrame:
        return parse_dead(record.headers, record.value, record.timestamp)


def latest_results(settings: Settings | None = None, pipeline: str = "main") -> dict[str, Result]:
    """The newest result of every stream of a pipeline, from Redis; streams that are silent for long have none.

    What lies there and is none of our records is left out.

    Raises:
        ServiceError: Redis can't be reached or refuses us.
    """
    import redis

    settings = settings or load_settings()
    pattern = Keys(settings.redis.prefix).latest(pipeline, "*")
    client = connect_redis(settings.redis)
    try:
        keys = sorted(client.scan_iter(match=pattern, count=1000))
        values = client.mget(keys) if keys else []
    except redis.RedisError as error:
        raise redis_error(settings.redis, error) from None
    finally:
        client.close()
    # A key may have expired between the two commands.
    results = [_result(value) for value in values if value is not None]
    return {result.stream: result for result in results if result is not None}


def preview(stream: str, settings: Settings | None = None, pipeline: str = "main") -> bytes | None:
    """A small JPEG of a stream's newest result, None while there is none; to be called again within 10 s, or it ends.

    Raises:
        ServiceError: Redis can't be reached or refuses us.
    """
    import redis

    settings = settings or load_settings()
    keys = Keys(settings.redis.prefix)
    with connect_redis(settings.redis) as client:
        try:
            client.set(keys.preview_wanted(pipeline, stream), 1, ex=10)
            picture: bytes | None = client.get(keys.preview(pipeline, stream))
        except redis.RedisError as error:
            raise redis_error(settings.redis, error) from None
    return picture


def _result(value: bytes | str) -> Result | None:
    try:
        record = parse_detection(value)
    except RecordError as error:
        log.warning("left out what lies in Redis: %s", error)
        return None
    return record if isinstance(record, Result) else None


def _partitions(consumer: "KafkaConsumer", topic: str) -> "list[TopicPartition]":
    from kafka import TopicPartition

    return [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or ())]


@contextmanager
def _kafka_errors(topic: str) -> Iterator[None]:
    """Turns kafka-python's errors into ours."""
    from kafka.errors import KafkaError, TopicAuthorizationFailedError

    try:
        yield
    except TopicAuthorizationFailedError:
        raise ServiceError(f"topic {topic}: this user must not read it; see docs/records.md") from None
    except KafkaError as error:
        raise ServiceError(f"topic {topic}: {error}") from None
