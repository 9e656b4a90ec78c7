"""What Kafka and Redis hold, read with their clients alone.

Nothing of the service is used here, or in `checker`: a mistake that both sides made would not be seen.
"""

import json
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import redis
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition

_CLIENT = {
    "isolation_level": "read_committed",
    "enable_auto_commit": False,
    "fetch_max_wait_ms": 50,
    "reconnect_backoff_ms": 50,
    "reconnect_backoff_max_ms": 500,
    "metrics_enabled": False,
}


@dataclass(frozen=True, slots=True)
class Row:
    """A record of topic `detections` or `events`. timestamp_ms: when it was written, in ms since 1970."""

    partition: int
    key: str
    value: bytes
    timestamp_ms: int

    @property
    def record(self) -> Any:
        """What its JSON says."""
        return json.loads(self.value)


def consumer_of(bootstrap: str, topic: str) -> KafkaConsumer:
    """Without a group, at the first record of every partition of a topic."""
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, **_CLIENT)
    partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
    consumer.assign(partitions)
    for partition, offset in consumer.beginning_offsets(partitions).items():
        consumer.seek(partition, offset)
    return consumer


def read_log(bootstrap: str, topic: str) -> list[Row]:
    """Every committed record of a topic of results, in order per partition."""
    return [Row(r.partition, r.key.decode(), r.value, r.timestamp) for r in _records(bootstrap, topic)]


def _records(bootstrap: str, topic: str) -> list[Any]:
    found: list[Any] = []
    with closing(consumer_of(bootstrap, topic)) as consumer:
        ends = consumer.end_offsets(list(consumer.assignment()))
        while any(consumer.position(partition) < end for partition, end in ends.items()):
            for records in consumer.poll(timeout_ms=200).values():
                found += records
    return found


@dataclass(frozen=True, slots=True)
class Dead:
    """A record of topic `frames.dead`. partition, offset: where it was on `frames`."""

    cause: str
    partition: int
    offset: int


def read_dead(bootstrap: str, topic: str) -> list[Dead]:
    """Every committed one."""
    return [
        Dead(said["dead_cause"].decode(), int(said["dead_partition"]), int(said["dead_offset"]))
        for said in (dict(record.headers) for record in _records(bootstrap, topic))
    ]


def read_definitions(bootstrap: str, topic: str) -> dict[str, Any]:
    """What topic `streams` says last of each stream that there is."""
    last = {record.key.decode(): record.value for record in _records(bootstrap, topic)}
    return {stream: json.loads(value) for stream, value in last.items() if value is not None}


def read_keys(url: str, prefix: str) -> list[str]:
    """The names of all that Redis holds under a prefix."""
    with redis.Redis.from_url(url) as client:
        return sorted(key.decode() for key in client.scan_iter(f"{prefix}*"))


def read_redis(url: str, keys: Mapping[str, str]) -> dict[str, list[tuple[str, bytes]]]:
    """Ids and records of Redis streams, by the names that `keys` gives them."""
    with redis.Redis.from_url(url) as client:
        return {
            name: [(number.decode(), fields[b"record"]) for number, fields in client.xrange(key)]
            for name, key in keys.items()
        }


def read_latest(url: str, keys: Mapping[str, str]) -> dict[str, bytes | None]:
    """What Redis strings hold, by the names that `keys` gives them."""
    with redis.Redis.from_url(url) as client:
        return {name: client.get(key) for name, key in keys.items()}


def shares(brokers: str, group: str) -> dict[str, int]:
    """How many partitions each member of a group has, by its client id."""
    with closing(KafkaAdminClient(bootstrap_servers=brokers)) as admin:
        members = admin.describe_groups([group])[group]["members"]
    return {
        member["client_id"]: sum(
            len(topic["partitions"]) for topic in member["member_assignment"]["assigned_partitions"]
        )
        for member in members
        if member["member_assignment"]
    }
