"""Which topics there are, and how each must be configured."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from streamer.settings import KafkaSettings, Settings

CODE_SPACE = 4096  # bytes of headers and framing around the largest value


@dataclass(frozen=True)
class Topic:
    """A topic as `topics create` makes it."""

    name: str
    partitions: int
    replication_factor: int
    config: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class TopicNames:
    """The names of our topics and groups under a prefix."""

    prefix: str

    @cached_property
    def frames(self) -> str:
        """JPEGs, key = stream."""
        return f"{self.prefix}frames"

    @cached_property
    def detections(self) -> str:
        """Results, gaps, ends; key = stream; partitioned as `frames` is."""
        return f"{self.prefix}detections"

    @cached_property
    def dead(self) -> str:
        """Frames that can't be decoded, as they came."""
        return f"{self.prefix}frames.dead"

    @cached_property
    def streams(self) -> str:
        """Stream definitions, compacted, key = stream."""
        return f"{self.prefix}streams"

    @cached_property
    def pipelines(self) -> str:
        """Pipeline definitions, compacted, key = pipeline."""
        return f"{self.prefix}pipelines"

    @cached_property
    def events(self) -> str:
        """What became of objects, in zones and at lines; key = stream; partitioned as `frames` is."""
        return f"{self.prefix}events"

    @cached_property
    def state(self) -> str:
        """What a worker knows of a stream beyond the last record, compacted, key = pipeline/stream; as `frames`."""
        return f"{self.prefix}state"

    def producer_group(self) -> str:
        """The group in which producers share the streams."""
        return f"{self.prefix}producers"

    def worker_group(self, pipeline: str) -> str:
        """The group in which a pipeline's workers share the frames."""
        return f"{self.prefix}detect.{pipeline}"


def topic_names(kafka: KafkaSettings) -> TopicNames:
    """The names under this cluster's prefix."""
    return TopicNames(kafka.topic_prefix)


def all_topics(settings: Settings) -> tuple[Topic, ...]:
    """Every topic that the service needs."""
    names, topics = topic_names(settings.kafka), settings.topics
    largest = str(topics.max_record_bytes + CODE_SPACE)
    compacted = {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.1", "segment.ms": "3600000"}

    def topic(name: str, partitions: int, config: Mapping[str, str]) -> Topic:
        return Topic(name, partitions, topics.replication_factor, config)

    return (
        topic(
            names.frames,
            topics.partitions,
            {
                "retention.ms": str(topics.frames_retention_s * 1000),
                "retention.bytes": str(topics.frames_retention_bytes),
                # Retention deletes whole segments only: eight of them keep it within an eighth of the limit.
                "segment.bytes": str(max(topics.frames_retention_bytes // 8, 2 * topics.max_record_bytes)),
                "segment.ms": str(max(topics.frames_retention_s * 1000 // 8, 10_000)),
                "max.message.bytes": largest,
            },
        ),
        topic(names.detections, topics.partitions, {"retention.ms": str(topics.detections_retention_s * 1000)}),
        topic(names.events, topics.partitions, {"retention.ms": str(topics.detections_retention_s * 1000)}),
        topic(
            names.dead,
            topics.partitions,
            {"retention.ms": str(topics.dead_retention_s * 1000), "max.message.bytes": largest},
        ),
        topic(names.streams, topics.stream_partitions, compacted),
        # Written with every transaction: small segments are cleaned soon, so that a take-over reads little.
        topic(names.state, topics.partitions, {**compacted, "segment.bytes": str(16 << 20), "segment.ms": "600000"}),
        topic(names.pipelines, 1, compacted),
    )


def partition_of(stream: str, partitions: int) -> int:
    """The partition of `frames` that a stream's key is on: Kafka's default, murmur2."""
    from kafka.partitioner.default import murmur2

    return int((murmur2(stream.encode()) & 0x7FFFFFFF) % partitions)
