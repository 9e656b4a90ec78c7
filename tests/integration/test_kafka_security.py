"""Against a broker with TLS, logins and rights: everything works with them, and every refusal is named truly."""

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from producers.assignment import Assignment
from producers.position import find_positions
from streamer.broker import connect_admin, connect_consumer, connect_producer, kafka_error
from streamer.broker_probe import refusal
from streamer.catalog import stream_catalog, write_definition
from streamer.doctor.kafka import check_kafka
from streamer.errors import ServiceError, StreamerError, UsageError
from streamer.settings import KafkaSettings, Settings
from streamer.stack import Addresses, kafka_server
from streamer.stack.jars import kafka_jars
from streamer.stack.java import find_java
from streamer.stack.ports import free_ports
from streamer.stack.process import launch, stop
from streamer.topics import topic_names
from streamer.topics_admin import check_topics, create_topics
from tests.integration.certificates import Certificate, make_authority, make_certificate
from tests.integration.producer_rig import process
from tests.waiting import eventually

PASSWORD = "right = 1"
SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule required"


@dataclass(frozen=True)
class Secured:
    """A broker on this machine, its ports by protocol, and what one needs to get in."""

    sasl_ssl: int
    sasl_plaintext: int
    ssl: int
    authority: Certificate
    stranger: Certificate
    client: Certificate

    def settings(self, user: str = "admin", **changes: Any) -> KafkaSettings:
        """Those that let `user` in, but for `changes`."""
        right = {
            "bootstrap_servers": f"localhost:{self.sasl_ssl}",
            "security_protocol": "SASL_SSL",
            "sasl_username": user,
            "sasl_password": PASSWORD,
            "ssl_cafile": self.authority.certificate,
            "connect_timeout_s": 20,
        }
        return KafkaSettings.model_validate(right | changes)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("secured")
    authority = make_authority(folder, "authority")
    server = make_certificate(folder, authority, "broker", "DNS:localhost")
    (folder / "keystore.pem").write_text(server.key.read_text() + server.certificate.read_text())
    sasl_ssl, sasl_plaintext, ssl, inside, controller = free_ports((0,) * 5)
    secured = Secured(
        *(sasl_ssl, sasl_plaintext, ssl, authority, make_authority(folder, "stranger")),
        make_certificate(folder, authority, "client", "DNS:client"),
    )
    process = start_broker(folder, secured, inside, controller)
    try:
        wait_until_open(process, sasl_ssl)
        yield secured
    finally:
        stop(process, 10)


def start_broker(folder: Path, ports: Secured, inside: int, controller: int) -> subprocess.Popen[bytes]:
    listeners = {
        "SASL_SSL": ports.sasl_ssl,
        "SASL_PLAINTEXT": ports.sasl_plaintext,
        "SSL": ports.ssl,
        "PLAINTEXT": inside,
    }
    extra = {
        "listeners": ",".join(f"{name}://127.0.0.1:{port}" for name, port in listeners.items())
        + f",CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": ",".join(
            f"{name}://localhost:{port}" if name != "SSL" else "SSL://no.such.machine.invalid:9092"
            for name, port in listeners.items()
        ),
        "listener.security.protocol.map": ",".join(f"{name}:{name}" for name in listeners) + ",CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "PLAINTEXT",
        "sasl.enabled.mechanisms": "SCRAM-SHA-256,SCRAM-SHA-512",
        **{
            f"listener.name.{name}.{mechanism}.sasl.jaas.config": f"{SCRAM};"
            for name in ("sasl_ssl", "sasl_plaintext")
            for mechanism in ("scram-sha-256", "scram-sha-512")
        },
        "listener.name.ssl.ssl.client.auth": "required",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": "keystore.pem",
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(ports.authority.certificate),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:admin;User:ANONYMOUS;User:CN=client",
        # What a foreign cluster may have.
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": "10000",
        "transaction.max.timeout.ms": "20000",
        "group.min.session.timeout.ms": "6000",
    }
    java, jars = find_java(), kafka_jars("", lambda _: None)
    kafka_server.write_files(folder, kafka_server.properties(inside, controller, extra))
    users = [f"SCRAM-SHA-512=[name={user},password={PASSWORD}]" for user in ("admin", "poor")]
    arguments = [word for user in users for word in ("--add-scram", user)]
    kafka_server.format_storage(folder, java, jars, tuple(arguments))
    return launch([*kafka_server.java_command(java, jars, 256, "kafka.Kafka"), "server.properties"], folder)


def wait_until_open(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    pytest.fail("the secured broker does not start")


def test_all_works_with_a_login_over_tls(broker: Secured) -> None:
    kafka = broker.settings(topic_prefix="all.")
    settings = Settings(kafka=kafka)
    create_topics(settings)
    write_definition(kafka, "all.streams", "gate", b"{}")
    consumer = connect_consumer(kafka, group_id="all.group")
    try:
        consumer.subscribe(["all.streams"])
        deadline = time.monotonic() + 20
        records: list[Any] = []
        while not records and time.monotonic() < deadline:
            records = [record for batch in consumer.poll(200).values() for record in batch]
        assert [record.key for record in records] == [b"gate"]
    finally:
        consumer.close()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"sasl_password": "wrong"}, "login of 'admin' refused: check kafka.sasl_username and kafka.sasl_password"),
        ({"sasl_username": "nobody"}, "login of 'nobody' refused"),
        ({"sasl_mechanism": "PLAIN"}, "does not offer kafka.sasl_mechanism PLAIN, but SCRAM-SHA-256, SCRAM-SHA-512"),
        (
            {"bootstrap_servers": "127.0.0.1:{sasl_ssl}"},
            "certificate is for another host name: use that name",
        ),
        ({"ssl_cafile": "{stranger}"}, "not signed by an authority in kafka.ssl_cafile"),
        ({"ssl_cafile": None}, "not signed by an authority in kafka.ssl_cafile"),
        ({"security_protocol": "PLAINTEXT"}, "speaks TLS on this port: set kafka.security_protocol to SSL or SASL_SSL"),
        ({"security_protocol": "SASL_PLAINTEXT"}, "speaks TLS on this port"),
        ({"security_protocol": "SSL"}, "wants a login: set kafka.security_protocol to SASL_PLAINTEXT or SASL_SSL"),
        (
            {"security_protocol": "PLAINTEXT", "bootstrap_servers": "localhost:{sasl_plaintext}"},
            "wants a login: set kafka.security_protocol",
        ),
        ({"bootstrap_servers": "localhost:{sasl_plaintext}"}, "does not speak TLS on this port"),
        ({"security_protocol": "SSL", "bootstrap_servers": "localhost:{ssl}"}, "may want kafka.ssl_certfile"),
    ],
)
def test_a_refusal_is_named_at_once(broker: Secured, changes: dict[str, Any], expected: str) -> None:
    words = {"sasl_ssl": broker.sasl_ssl, "sasl_plaintext": broker.sasl_plaintext, "ssl": broker.ssl}
    words |= {"stranger": broker.stranger.certificate}
    filled = {key: value.format(**words) if isinstance(value, str) else value for key, value in changes.items()}
    start = time.monotonic()
    with pytest.raises(ServiceError, match=r"^Kafka at [a-z0-9.]+:[0-9]+: ") as raised:
        connect_admin(broker.settings(**filled))
    assert expected in str(raised.value)
    assert PASSWORD not in str(raised.value)
    assert time.monotonic() - start < 5, "connect_timeout_s is 20: what can't get better is not waited for"


def test_certificate_of_our_own(broker: Secured) -> None:
    files = {"ssl_certfile": broker.client.certificate, "ssl_keyfile": broker.client.key}
    address = f"localhost:{broker.ssl}"
    kafka = broker.settings(security_protocol="SSL", bootstrap_servers=address, connect_timeout_s=0.5, **files)
    # The broker lets us in, and sends us to an address that is none.
    with pytest.raises(ServiceError, match=r"sends us on to no\.such\.machine\.invalid:9092, which can't be reached"):
        connect_admin(kafka)


def test_host_name_is_not_checked_when_told_so(broker: Secured) -> None:
    connect_admin(broker.settings(bootstrap_servers=f"127.0.0.1:{broker.sasl_ssl}", ssl_check_hostname=False)).close()


def test_a_wrong_login_gives_every_kind_of_client_the_same_answer(broker: Secured) -> None:
    wrong = broker.settings(sasl_password="wrong")
    for connect in (connect_consumer, connect_producer):
        with pytest.raises(ServiceError, match="login of 'admin' refused"):
            connect(wrong)


def test_a_broker_without_login_says_so(stack: Addresses) -> None:
    kafka = KafkaSettings(bootstrap_servers=stack.kafka, security_protocol="SASL_PLAINTEXT", sasl_username="a")
    with pytest.raises(ServiceError, match="wants no login on this port"):
        connect_admin(kafka)


def grant(broker: Secured, topic_prefix: str, *rights: str) -> None:
    """Lets poor do this with topics with this prefix, and nothing else."""
    from kafka.admin import ACL, ACLOperation, ACLPermissionType, ACLResourcePatternType, ResourcePattern, ResourceType

    pattern = ResourcePattern(ResourceType.TOPIC, topic_prefix, ACLResourcePatternType.PREFIXED)
    operations = [ACLOperation[right] for right in rights]
    admin = connect_admin(broker.settings())
    admin.create_acls([ACL("User:poor", "*", operation, ACLPermissionType.ALLOW, pattern) for operation in operations])
    admin.close()


def write(kafka: KafkaSettings) -> None:
    write_definition(kafka, topic_names(kafka).streams, "gate", b"{}")


def read(kafka: KafkaSettings) -> None:
    catalog = stream_catalog(kafka)
    try:
        catalog.open()
    finally:
        catalog.close()


def join_group(kafka: KafkaSettings) -> None:
    assignment = Assignment(kafka, lambda streams: None)
    assignment.open()
    try:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            assignment.poll(100)
    finally:
        assignment.close()


def find_last_frames(kafka: KafkaSettings) -> None:
    settings = Settings(kafka=kafka)
    find_positions(settings, map(str, range(settings.topics.partitions)), int, 5)


def begin_transaction(kafka: KafkaSettings) -> None:
    from kafka.errors import KafkaError

    producer = connect_producer(kafka, transactional_id=f"{kafka.topic_prefix}worker")
    try:
        producer.init_transactions()
    except KafkaError as error:
        raise kafka_error(kafka, error) from None
    finally:
        producer.close(timeout=1)


def check(kafka: KafkaSettings) -> None:
    check_topics(Settings(kafka=kafka))


def test_a_cluster_that_does_not_fit_is_named(broker: Secured) -> None:
    kafka = broker.settings(topic_prefix="fit.", session_timeout_ms=3000)
    settings = Settings.model_validate({"kafka": kafka, "detect": {"transaction_timeout_ms": 30_000}})
    create_topics(settings)
    scan, longest, shortest = check_topics(settings)
    assert "transaction.abort.timed.out.transaction.cleanup.interval.ms = 10000" in scan
    assert "allow transactions of 20000 ms: lower detect.transaction_timeout_ms (30000)" in longest
    assert "allow sessions from 6000 ms: raise kafka.session_timeout_ms (3000)" in shortest


def test_doctor_names_missing_rights_by_role(broker: Secured, prefixes: dict[str, str]) -> None:
    poor = Settings(kafka=broker.settings("poor", topic_prefix=prefixes["closed"]))
    found = [f"{finding.level} {finding.text}" for finding in check_kafka(poor, {"worker"})]
    assert found[0].startswith("ok Kafka at localhost:")
    assert found[1].startswith("bad Kafka at localhost:")
    assert "poor has no right to topic closed." in found[1]
    assert found[2:] == [
        "note rights are not enough for a producer, should this be one: READ and WRITE on closed.frames, "
        "READ on closed.streams, READ on closed.pipelines, READ on group closed.producers",
        "bad rights are missing for a worker: grant READ on closed.frames, READ and WRITE on closed.detections, "
        "WRITE on closed.frames.dead, READ and WRITE on closed.events, READ and WRITE on closed.state, "
        "READ on closed.streams, READ and WRITE on closed.pipelines, READ on group closed.detect.main",
        "note rights are not enough for a reader, should this be one: READ on closed.detections, READ on closed.events",
    ]


@pytest.fixture(scope="module")
def prefixes(broker: Secured) -> dict[str, str]:
    """Topics that poor may not touch, that it may write and read, and that it may only see."""
    made = {"closed": "closed.", "open": "open.", "seen": "seen."}
    for prefix in made.values():
        create_topics(Settings(kafka=broker.settings(topic_prefix=prefix)))
    grant(broker, made["open"], "DESCRIBE", "READ", "WRITE")
    grant(broker, made["seen"], "DESCRIBE")
    write(broker.settings(topic_prefix=made["seen"]))
    write_definition(broker.settings(), "seen.frames", "gate", b"a picture")
    with closing(connect_consumer(broker.settings("poor"))) as poor:
        for name in ("open", "seen"):  # rights take effect a moment after they are granted
            eventually(lambda topic=f"{made[name]}streams": poor.partitions_for_topic(topic), "poor sees its topics")
    return made


@pytest.mark.parametrize(
    ("topics", "act", "expected"),
    [
        ("closed", write, "poor has no right to topic closed.streams: grant Describe, and Read or Write"),
        ("closed", read, "poor has no right to topic closed.streams"),
        ("seen", read, "poor has no right to topic seen.streams: grant Describe, and Read or Write"),
        ("seen", find_last_frames, "poor has no right to topic seen.frames: grant Describe, and Read or Write"),
        ("closed", check, "poor has no right to topic closed."),
        ("open", check, "no right to the settings of topic open.frames: grant DescribeConfigs"),
        ("open", join_group, "poor has no right to group open.producers: grant Read on it"),
        ("open", begin_transaction, "poor has no right to the transactional id: grant Describe and Write"),
    ],
)
def test_a_missing_right_is_named(
    broker: Secured, prefixes: dict[str, str], topics: str, act: Callable[[KafkaSettings], None], expected: str
) -> None:
    with pytest.raises(ServiceError) as raised:
        act(broker.settings("poor", topic_prefix=prefixes[topics]))
    assert expected in str(raised.value)


def test_a_producer_without_its_group_ends_with_one_line(
    broker: Secured, prefixes: dict[str, str], tmp_path: Path
) -> None:
    settings = Settings(kafka=broker.settings("poor", topic_prefix=prefixes["open"]))
    with process(settings, tmp_path / "log", "produce") as running:
        assert running.wait() == 3
    assert "Traceback" not in running.said
    assert "poor has no right to group open.producers: grant Read on it" in running.said.splitlines()[-1]


def test_rights_to_topics_are_enough_to_define_streams(broker: Secured, prefixes: dict[str, str]) -> None:
    kafka = broker.settings("poor", topic_prefix=prefixes["open"])
    write(kafka)
    read(kafka)


def test_a_topic_that_is_not_there_is_named(broker: Secured) -> None:
    with pytest.raises(ServiceError, match=r"topic nowhere\.streams does not exist: run `streamer topics create`"):
        read(broker.settings(topic_prefix="nowhere."))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"ssl_cafile": "/nowhere/ca.pem"}, "kafka.ssl_cafile: /nowhere/ca.pem can't be used: No such file"),
        ({"ssl_certfile": "/nowhere/me.pem"}, "kafka.ssl_certfile, ssl_keyfile or ssl_key_password: /nowhere/me.pem"),
    ],
)
def test_files_that_can_not_be_used(broker: Secured, changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(UsageError) as raised:
        connect_admin(broker.settings(**changes))
    assert expected in str(raised.value)


@pytest.mark.parametrize(
    ("servers", "expected"),
    [
        ("localhost:1", "nothing listens there: check kafka.bootstrap_servers, or start one with `streamer up`"),
        ("no.such.machine.invalid:9092", "no machine is called no.such.machine.invalid"),
        ("localhost:port", "'localhost:port' in kafka.bootstrap_servers is not host:port"),
    ],
)
def test_wrong_addresses(servers: str, expected: str) -> None:
    with pytest.raises(StreamerError) as raised:
        connect_admin(KafkaSettings(bootstrap_servers=servers, connect_timeout_s=0.5))
    assert expected in str(raised.value)


def test_one_server_of_several_is_enough(stack: Addresses) -> None:
    assert refusal(KafkaSettings(bootstrap_servers=f"localhost:1, {stack.kafka}"), None, 5) is None


def test_a_port_that_is_no_broker(stack: Addresses) -> None:
    redis = stack.redis.removeprefix("redis://").removesuffix("/0")
    with pytest.raises(ServiceError, match="is this a Kafka broker's port"):
        connect_admin(KafkaSettings(bootstrap_servers=redis, connect_timeout_s=1))
