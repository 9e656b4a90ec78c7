"""Making the topics, and comparing those of a cluster with what the settings want."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from streamer.broker import connect_admin, kafka_error
from streamer.errors import ServiceError
from streamer.lifecycle import Deadline
from streamer.settings import Settings
from streamer.topics import Topic, all_topics, topic_names

if TYPE_CHECKING:
    from kafka import KafkaAdminClient

# A dead worker's transaction is found by a scan, and holds every reader until then; Kafka's default is 10 s.
LONGEST_SCAN_MS = 2000
_SETTLE_S = 10
_SCAN = "transaction.abort.timed.out.transaction.cleanup.interval.ms"


def create_topics(settings: Settings) -> list[str]:
    """Makes what is missing and sets what deviates; returns what was done, a line each.

    Partition counts stay: with another count a stream's frames would go on in another partition, out of order.

    Raises:
        ServiceError: Kafka is out of reach or refuses us.
    """
    topics = all_topics(settings)
    with _admin(settings) as admin:
        there = _partition_counts(admin, topics)
        missing = [topic for topic in topics if topic.name not in there]
        if missing:
            _create(admin, missing)
        done = [f"created {topic.name}, partitions: {topic.partitions}" for topic in missing]
        return done + list(_configure(admin, [topic for topic in topics if topic.name in there]))


def delete_topics(settings: Settings) -> None:
    """Removes every topic under this prefix's names, records and all.

    Raises:
        ServiceError: Kafka is out of reach or refuses us.
    """
    from kafka.errors import UnknownTopicOrPartitionError

    with _admin(settings) as admin, suppress(UnknownTopicOrPartitionError):
        admin.delete_topics([topic.name for topic in all_topics(settings)])


def check_topics(settings: Settings) -> list[str]:
    """What in the cluster is not as the settings want it, a line each that says what to change; empty: all is well.

    Raises:
        ServiceError: Kafka is out of reach or refuses us.
    """
    topics = all_topics(settings)
    with _admin(settings) as admin:
        counts = _partition_counts(admin, topics)
        there = [topic for topic in topics if topic.name in counts]
        return [
            *(f"topic {topic.name} is missing: run `streamer topics create`" for topic in topics if topic not in there),
            *_wrong_counts(there, counts, settings),
            *_wrong_configs(admin, there),
            *_wrong_broker(admin, settings),
        ]


def _create(admin: "KafkaAdminClient", topics: Iterable[Topic]) -> None:
    from kafka.errors import TopicAlreadyExistsError

    wanted = {
        topic.name: {
            "num_partitions": topic.partitions,
            "replication_factor": topic.replication_factor,
            "configs": dict(topic.config),
        }
        for topic in topics
    }
    with suppress(TopicAlreadyExistsError):  # another process was faster
        admin.create_topics(wanted)
    # Until every partition has a leader, producers and consumers meet errors.
    admin.wait_for_topics(list(wanted))


def _configure(admin: "KafkaAdminClient", topics: list[Topic]) -> Iterator[str]:
    from kafka.admin import ConfigResource, ConfigResourceType

    for topic, deviating in _deviations(admin, topics):
        wanted = {key: topic.config[key] for key in deviating}
        answers = admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic.name, wanted)])
        answer = answers["topic"][topic.name]
        if answer != "OK":
            raise ServiceError(f"topic {topic.name} can't be configured: {answer}")
        yield f"set {', '.join(f'{key}={value}' for key, value in wanted.items())} on {topic.name}"
    # The controller has agreed; the brokers follow a moment later.
    deadline = Deadline(_SETTLE_S)
    while any(_deviations(admin, topics)) and not deadline.passed:
        time.sleep(0.05)


def _deviations(admin: "KafkaAdminClient", topics: list[Topic]) -> Iterator[tuple[Topic, dict[str, str]]]:
    """Each topic with those of its settings that the broker holds otherwise, and what it holds."""
    if not topics:
        return
    actual = _configs(admin, "TOPIC", [topic.name for topic in topics])
    for topic in topics:
        held = actual.get(topic.name, {})
        if not held:
            raise ServiceError(f"no right to the settings of topic {topic.name}: grant DescribeConfigs, AlterConfigs")
        deviating = {key: held.get(key, "") for key, value in topic.config.items() if held.get(key) != value}
        if deviating:
            yield topic, deviating


def _wrong_counts(topics: Iterable[Topic], counts: dict[str, int], settings: Settings) -> Iterator[str]:
    names = topic_names(settings.kafka)
    keys = {names.streams: "topics.stream_partitions"}
    for topic in topics:
        count = counts[topic.name]
        if topic.name != names.pipelines and count != topic.partitions:
            key = keys.get(topic.name, "topics.partitions")
            yield (
                f"topic {topic.name} has {count} partitions, the settings say {topic.partitions}: set {key} = {count}, "
                "or delete the topic and create it anew (changing the count would put frames out of order)"
            )


def _wrong_configs(admin: "KafkaAdminClient", topics: list[Topic]) -> Iterator[str]:
    for topic, deviating in _deviations(admin, topics):
        for key, value in deviating.items():
            yield (
                f"topic {topic.name} has {key} = {value or 'nothing'}, the settings say {topic.config[key]}: "
                "run `streamer topics create`"
            )


def _wrong_broker(admin: "KafkaAdminClient", settings: Settings) -> Iterator[str]:
    """What only the cluster's operator can change. Says nothing where we may not read it."""
    broker = str(admin.describe_cluster()["brokers"][0]["broker_id"])
    held = _configs(admin, "BROKER", [broker]).get(broker, {})
    scan = int(held.get(_SCAN) or 0)
    if scan > LONGEST_SCAN_MS:
        yield (
            f"the brokers have {_SCAN} = {scan}: results stand still for so long when a worker dies; "
            "set it to 1000 in their server.properties"
        )
    longest = int(held.get("transaction.max.timeout.ms") or 2**31)
    if longest < settings.detect.transaction_timeout_ms:
        yield (
            f"the brokers allow transactions of {longest} ms: lower detect.transaction_timeout_ms "
            f"({settings.detect.transaction_timeout_ms}) or raise their transaction.max.timeout.ms"
        )
    shortest = int(held.get("group.min.session.timeout.ms") or 0)
    if shortest > settings.kafka.session_timeout_ms:
        yield (
            f"the brokers allow sessions from {shortest} ms: raise kafka.session_timeout_ms "
            f"({settings.kafka.session_timeout_ms}) or lower their group.min.session.timeout.ms"
        )


def _partition_counts(admin: "KafkaAdminClient", topics: Iterable[Topic]) -> dict[str, int]:
    from kafka.errors import UnknownTopicOrPartitionError, for_code

    counts = {}
    for described in admin.describe_topics([topic.name for topic in topics]):
        error = for_code(described["error_code"])
        if described["error_code"] == 0:
            counts[described["name"]] = len(described["partitions"])
        elif error is not UnknownTopicOrPartitionError:
            raise error(described["name"])
    return counts


def _configs(admin: "KafkaAdminClient", kind: str, names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Settings of topics or brokers by name; none for what we may not read."""
    from kafka.admin import ConfigResource, ConfigResourceType

    resources = [ConfigResource(ConfigResourceType[kind], name) for name in names]
    described: dict[str, dict[str, Any]] = admin.describe_configs(resources, config_filter="all").get(kind.lower(), {})
    return {
        name: {key: config["value"] for key, config in configs.items() if config["value"] is not None}
        for name, configs in described.items()
    }


@contextmanager
def _admin(settings: Settings) -> Iterator["KafkaAdminClient"]:
    from kafka.errors import KafkaError

    admin = connect_admin(settings.kafka)
    try:
        yield admin
    except KafkaError as error:
        raise kafka_error(settings.kafka, error) from None
    finally:
        admin.close()
