"""Frames of the past once more, through a pipeline aside: on topics of its own, which nothing live reads or writes.

The topics are those of the service under one more prefix, `replay.NAME.`, and so are Redis keys, groups and
transactional ids; NAME is the pipeline's, too. A worker with these settings does what any worker does.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Self

from streamer.broker import abandon, connect_producer, kafka_error
from streamer.catalog import stream_catalog, write_definitions
from streamer.errors import UsageError
from streamer.records import EndHeader, FrameHeader, FrameId, check_name
from streamer.records.frame import Headers
from streamer.records.stream import StreamDefinition
from streamer.settings import Settings
from streamer.topics import topic_names
from streamer.topics_admin import create_topics

if TYPE_CHECKING:
    from kafka import KafkaProducer
    from kafka.producer.future import FutureRecordMetadata

_UNDER_WAY = 64  # records
_STORE_S = 60
_LONGEST_PREFIX = 64  # as the settings have it


def aside(settings: Settings, name: str) -> Settings:
    """`settings` with the topics, keys and pipeline of the replay `name`.

    Raises:
        UsageError: it can't be a name.
    """
    check_name(name, "pipeline")
    topics, keys = f"{settings.kafka.topic_prefix}replay.{name}.", f"{settings.redis.prefix}replay:{name}:"
    if max(len(topics), len(keys)) > _LONGEST_PREFIX:
        raise UsageError(f"replay {name}: the prefix {topics} has more than {_LONGEST_PREFIX} characters; shorten it")
    kafka = settings.kafka.model_copy(update={"topic_prefix": topics})
    redis = settings.redis.model_copy(update={"prefix": keys})
    detect = settings.detect.model_copy(update={"pipeline": name})
    # Frames keep the time at which they were captured, by which `frames` would forget them at once.
    kept = settings.topics.model_copy(update={"frames_retention_s": settings.topics.detections_retention_s})
    return settings.model_copy(update={"kafka": kafka, "redis": redis, "detect": detect, "topics": kept})


def next_steps(there: Settings, model: str) -> Iterator[str]:
    """What to type so that the frames of a replay are done and their results read. there: see `aside`."""
    name, topics, keys = there.detect.pipeline, there.kafka.topic_prefix, there.redis.prefix
    yield f"  export STREAMER_KAFKA__TOPIC_PREFIX={topics} STREAMER_REDIS__PREFIX={keys}"
    yield f"  streamer detect --pipeline {name} --model {model}"
    yield f"  streamer results export --pipeline {name}"


class FramesAside:
    """Writes frames with the identity and time that they have. Entered and left, by one thread.

    What is put is stored for sure once `finish` has returned, and may be lost if it is left before.

    live: the service's settings. name: the replay's. Frames of a stream are to be put in the order of their ids: a
    worker ignores one that isn't newer than what it has had, so the same frames put twice are done once.
    """

    def __init__(self, live: Settings, name: str) -> None:
        self._live, self.settings = live, aside(live, name)
        self._topic = topic_names(self.settings.kafka).frames
        self._producer: KafkaProducer | None = None
        self._newest: dict[str, FrameHeader] = {}
        self._under_way: deque[FutureRecordMetadata] = deque()

    def __enter__(self) -> Self:
        create_topics(self.settings)
        options = {"max_request_size": self._live.topics.max_record_bytes + (1 << 20), "linger_ms": 20}
        self._producer = connect_producer(self.settings.kafka, **options)
        return self

    def __exit__(self, *_: object) -> None:
        if self._producer is not None:
            abandon(self._producer)  # finish() has waited for all; after a failure close() would hide it

    def define(self, streams: Iterable[str]) -> None:
        """Has the streams treated as they are live, but every frame of them; before their first frame is put.

        Raises:
            ServiceError: Kafka refuses it.
        """
        with closing(stream_catalog(self._live.kafka)) as catalog:
            catalog.open()
            live = catalog.definitions
        changes = {
            "freshness": "every",
            "pace": "fast",
            "managed": False,
            "paused": False,
            "pipelines": (self.settings.detect.pipeline,),
        }
        values: dict[str, bytes | None] = {}
        for stream in streams:
            known = live.get(stream) or StreamDefinition(id=stream, source="replay:")
            values[stream] = known.model_copy(update=changes).to_json()
        write_definitions(self.settings.kafka, topic_names(self.settings.kafka).streams, values)

    def put(self, header: FrameHeader, jpeg: bytes, headers: Headers) -> None:
        """Writes one frame. headers: as the producer wrote them.

        Raises:
            ServiceError: Kafka refuses it.
        """
        newest = self._newest.get(header.stream)
        if newest and newest.id.epoch != header.id.epoch:
            self._end(newest)
        self._newest[header.stream] = header
        self._send(header.stream, jpeg, headers, header.captured_ms)

    def finish(self) -> None:
        """Ends the runs of all streams, and waits until everything is stored.

        Raises:
            ServiceError: it could not be.
        """
        for header in self._newest.values():
            self._end(header)
        self._newest.clear()
        self._wait_until(0)

    def _end(self, last: FrameHeader) -> None:
        end = EndHeader(last.stream, FrameId(last.id.epoch, last.id.sequence + 1), last.captured_ms)
        self._send(end.stream, None, end.to_headers(), end.captured_ms)

    def _send(self, stream: str, value: bytes | None, headers: Headers, timestamp_ms: int) -> None:
        assert self._producer is not None
        # kafka-python's producer takes in without bound.
        self._wait_until(_UNDER_WAY - 1)
        future = self._producer.send(self._topic, value, stream.encode(), headers=headers, timestamp_ms=timestamp_ms)
        self._under_way.append(future)

    def _wait_until(self, records: int) -> None:
        """Until no more than so many are not stored yet."""
        from kafka.errors import KafkaError

        try:
            while len(self._under_way) > records:
                self._under_way.popleft().get(timeout=_STORE_S)
        except KafkaError as error:
            raise kafka_error(self.settings.kafka, error) from None
