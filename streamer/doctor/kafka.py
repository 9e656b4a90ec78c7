"""Checks of Kafka: address, login, the brokers' own addresses, topics, rights."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from streamer.broker import PROBE_STEP_S, connect_admin, kafka_error, tls_context
from streamer.broker_probe import Refusal, is_reachable, own_addresses
from streamer.doctor.finding import Finding, bad, note, ok
from streamer.errors import StreamerError
from streamer.settings import KafkaSettings, Settings
from streamer.topics import TopicNames, topic_names
from streamer.topics_admin import check_topics

if TYPE_CHECKING:
    from kafka import KafkaAdminClient


def check_kafka(settings: Settings, roles: set[str]) -> Iterator[Finding]:
    """From the address to the rights; ends where going on makes no sense.

    roles: those that this machine must be able to take.
    """
    from kafka.errors import KafkaError

    if not settings.kafka.bootstrap_servers:
        yield bad("no Kafka: set kafka.bootstrap_servers, or start one with `streamer up`")
        return
    try:
        admin = connect_admin(settings.kafka)
    except StreamerError as error:
        yield bad(str(error))
        return
    try:
        yield ok(f"Kafka at {settings.kafka.bootstrap_servers} lets us in ({_login(settings)})")
        yield from _every_server(settings.kafka)
        yield from _topics(settings)
        yield from _rights(admin, topic_names(settings.kafka), settings.detect.pipeline, roles)
    except KafkaError as error:
        yield bad(str(kafka_error(settings.kafka, error)))
    finally:
        admin.close()


def _login(settings: Settings) -> str:
    kafka = settings.kafka
    user = f", as {kafka.sasl_username}" if kafka.security_protocol.startswith("SASL") else ""
    return f"{kafka.security_protocol}{user}"


def _every_server(kafka: KafkaSettings) -> Iterator[Finding]:
    """One server that answers is enough to start; the others should, too, and be called what they are reached by."""
    context = tls_context(kafka)
    brokers = set()
    for server in kafka.bootstrap_servers.split(","):
        try:
            brokers |= set(own_addresses(kafka, server.strip(), context, PROBE_STEP_S))
        except Refusal as why:
            yield bad(f"Kafka at {server.strip()}: {why}")
    for host, port in sorted(brokers):
        if not is_reachable((host, port), PROBE_STEP_S):
            yield bad(
                f"Kafka sends us on to {host}:{port}, which can't be reached from here: "
                "correct its advertised.listeners, or the network"
            )


def _topics(settings: Settings) -> Iterator[Finding]:
    try:
        problems = check_topics(settings)
    except StreamerError as error:
        yield bad(str(error))
        return
    yield from map(bad, problems)
    if not problems:
        yield ok("all topics are as the settings want them")


def _rights(admin: "KafkaAdminClient", names: TopicNames, pipeline: str, roles: set[str]) -> Iterator[Finding]:
    from kafka.errors import UnknownTopicOrPartitionError

    wanted = _wanted(names)
    topics = sorted({topic for needs in wanted.values() for topic in needs})
    # Who may not even see a topic is told nothing of it; one that does not exist was named before.
    held = {
        found["name"]: found.get("authorized_operations") or ()
        for found in admin.describe_topics(topics)
        if found["error_code"] != UnknownTopicOrPartitionError.errno
    }
    for role, needs in wanted.items():
        there = {topic: rights for topic, rights in needs.items() if topic in held}
        lacking = {topic: [right for right in rights if right not in held[topic]] for topic, rights in there.items()}
        missing = [f"{' and '.join(rights)} on {topic}" for topic, rights in lacking.items() if rights]
        group = {"producer": names.producer_group(), "worker": names.worker_group(pipeline)}.get(role)
        if group and _is_closed(admin, group):
            missing.append(f"READ on group {group}")
        if not missing:
            yield ok(f"rights to topics and groups are enough for a {role}")
        elif role in roles:
            yield bad(f"rights are missing for a {role}: grant {', '.join(missing)}")
        else:
            yield note(f"rights are not enough for a {role}, should this be one: {', '.join(missing)}")


def _is_closed(admin: "KafkaAdminClient", group: str) -> bool:
    """Whether we may not even see a group; kafka-python 3.0.12 has no public way to ask for rights to one."""
    from kafka.errors import CoordinatorNotAvailableError, GroupAuthorizationFailedError

    try:
        admin.describe_groups([group])
    except GroupAuthorizationFailedError:
        return True
    except CoordinatorNotAvailableError:
        return False  # a cluster that had no group yet; it is answered behind the check of rights
    return False


def _wanted(names: TopicNames) -> dict[str, dict[str, tuple[str, ...]]]:
    """Rights per role and topic, as in docs/records.md."""
    return {
        "producer": {
            names.frames: ("READ", "WRITE"),
            names.streams: ("READ",),
            names.pipelines: ("READ",),
        },
        "worker": {
            names.frames: ("READ",),
            names.detections: ("READ", "WRITE"),
            names.dead: ("WRITE",),
            names.events: ("READ", "WRITE"),
            names.state: ("READ", "WRITE"),
            names.streams: ("READ",),
            names.pipelines: ("READ", "WRITE"),
        },
        "reader": {names.detections: ("READ",), names.events: ("READ",)},
    }
