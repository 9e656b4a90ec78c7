"""Kafka clients from the settings: one place for addresses, credentials and the options that all share.

kafka-python is imported on use: it takes a quarter of a second.
"""

import logging
import math
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from streamer.addresses import mask
from streamer.errors import ServiceError, UsageError
from streamer.lifecycle import Deadline
from streamer.selector import QuietSelector
from streamer.settings import KafkaSettings
from streamer.tls import file_named, trusting

if TYPE_CHECKING:
    from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
    from kafka.consumer.fetcher import ConsumerRecord, Fetcher
    from kafka.structs import OffsetAndMetadata

    Polled = dict[TopicPartition, list[ConsumerRecord]]
    Offsets = dict[TopicPartition, OffsetAndMetadata]

log = logging.getLogger(__name__)
T = TypeVar("T")
PROBE_STEP_S = 5.0
RETRY_S = 0.2
QUIET_S = 2.0
LITTLE_AT_ONCE = {"max_partition_fetch_bytes": 256 << 10, "max_poll_records": 200}
"""Options of consumers that read a log after a take-over: what they take at once, their process keeps for good."""


def connection_options(kafka: KafkaSettings) -> dict[str, Any]:
    """Options that every client needs, credentials among them: never log the result.

    Raises:
        UsageError: no address is set, or a file with keys or certificates can't be used.
    """
    if not kafka.bootstrap_servers:
        raise UsageError(
            "no Kafka: set kafka.bootstrap_servers (STREAMER_KAFKA__BOOTSTRAP_SERVERS), or start one with `streamer up`"
        )
    options: dict[str, Any] = {
        "bootstrap_servers": [server.strip() for server in kafka.bootstrap_servers.split(",")],
        "client_id": kafka.instance or f"streamer-{socket.gethostname()}-{os.getpid()}",
        "security_protocol": kafka.security_protocol,
        "ssl_context": tls_context(kafka),
        # The defaults (30 s) add half a minute to every recovery.
        "reconnect_backoff_ms": 50,
        "reconnect_backoff_max_ms": 1000,
        "allow_auto_create_topics": False,
        "metrics_enabled": False,
        "selector": QuietSelector,
    }
    if kafka.security_protocol.startswith("SASL"):
        options |= {
            "sasl_mechanism": kafka.sasl_mechanism,
            "sasl_plain_username": kafka.sasl_username,
            "sasl_plain_password": kafka.sasl_password.get_secret_value(),
        }
    return options


def connect_consumer(kafka: KafkaSettings, **options: Any) -> "KafkaConsumer":
    """A consumer that sees committed records only, commits nothing by itself, and belongs to the calling thread.

    Raises:
        ServiceError: no broker answers, or it refuses us; the message names the cause.
    """
    from kafka import KafkaConsumer

    defaults = {
        "isolation_level": "read_committed",
        "enable_auto_commit": False,
        "auto_offset_reset": "earliest",
        "fetch_max_wait_ms": 100,
        "session_timeout_ms": kafka.session_timeout_ms,
        "heartbeat_interval_ms": max(kafka.session_timeout_ms // 6, 100),
        # Another's checksum is checked by the broker on the way in; TCP covers the rest.
        "check_crcs": False,
    }
    consumer: KafkaConsumer = _connect(kafka, KafkaConsumer, {**defaults, **connection_options(kafka), **options})
    # A poll waits no longer than until the next heartbeat is due. In kafka-python 3.0.12 they are sent by the client's
    # own thread, and one that isn't answered stays due: while a broker hung, polls didn't wait at all, took a core and
    # left 50 MB of small objects behind. There is no public way.
    consumer._coordinator.time_to_next_poll = lambda: math.inf
    return consumer


def poll(consumer: "KafkaConsumer", timeout_ms: int, **options: Any) -> "Polled":
    """`consumer.poll`, which steps over what can't be read, and says so.

    Who may write to a topic may write headers that are no UTF-8, or compress them by a method that kafka-python needs
    another package for. It raises then, for ever: one such record would end every reader of its partition.
    """
    from kafka.errors import CorruptRecordError, UnsupportedCodecError

    _free_slot(consumer)
    try:
        polled: Polled = consumer.poll(timeout_ms=timeout_ms, **options)
        return polled
    except (ValueError, UnsupportedCodecError, CorruptRecordError) as error:
        unread = consumer._fetcher._next_partition_records  # no public way to know whose records these are
        if not unread:  # read to its end: it is another partition's answer that is an error
            raise
        where = unread.topic_partition
        # It may have read markers of transactions before the record already; or, to get to our position, not as far.
        offset = max(unread.next_fetch_offset, consumer.position(where))
        unread.drain()  # kafka-python 3.0.12 would look for its end for ever, should it be where we go on
        consumer.seek(where, offset + 1)
        log.error("%s partition %d offset %d can't be read, stepped over: %s", *where, offset, str(error)[:200])
        return {}


def _free_slot(consumer: "KafkaConsumer") -> None:
    """Lets kafka-python return to what it fetched of a partition before that was paused, now that it is resumed.

    3.0.12 does so only while nothing is in the slot for the partition that is read as a poll begins. It leaves those in
    it that it has come to the end of, and with a backlog the next is in it before the poll is over: the resumed
    partition would neither be read nor fetched again, for ever. So partitions take turns. No public way.
    """
    fetcher = consumer._fetcher
    if current := fetcher._next_partition_records:
        _keep_error(fetcher, current)
        parked = fetcher._paused_partition_records  # the first of which that isn't paused goes into the slot
        if not parked or consumer.paused().issuperset(parked):
            return
        parked[current.topic_partition] = current
    fetcher._next_partition_records = None


def _keep_error(fetcher: "Fetcher", current: Any) -> None:
    """Has what can't be read of a partition said when the partition is read on, if it came behind records of a poll.

    kafka-python 3.0.12 says it in the next poll, unless the partition is paused by then: it forgot it, and once the
    partition was resumed looked in one poll for the end of what it had of it, for ever. No public way.

    current: what is in the slot; it is what an error came from while reading.
    """
    if kept := fetcher._next_in_line_exception_metadata:
        current._next_inline_exception = kept.exception
        current.next_fetch_offset = kept.fetched_offset  # markers of transactions before the record may be read already
        fetcher._next_in_line_exception_metadata = None


def set_fetch(consumer: "KafkaConsumer", min_bytes: int, max_wait_ms: int) -> None:
    """From its next request on: the broker answers when it has `min_bytes`, or when `max_wait_ms` are over."""
    # No public way (kafka-python 3.0.12); read for each request.
    consumer._fetcher.config |= {"fetch_min_bytes": min_bytes, "fetch_max_wait_ms": max_wait_ms}


def assign_from_beginning(consumer: "KafkaConsumer", partitions: "Sequence[TopicPartition]") -> None:
    """Has a consumer without a group read partitions from their first records.

    Not by seek_to_beginning: kafka-python 3.0.12 loses its reset now and then if a fetch is under way.
    """
    consumer.assign(partitions)
    for partition, offset in consumer.beginning_offsets(partitions).items():
        consumer.seek(partition, offset)


def offsets_since(
    consumer: "KafkaConsumer", partitions: "Sequence[TopicPartition]", moment: float | None
) -> "dict[TopicPartition, int]":
    """Offset of the first record written at a moment or later; the end where there is none.

    moment: Unix time in s; None: the ends.

    Raises:
        KafkaError: the broker doesn't answer, or refuses us.
    """
    # The ends first: asked for behind the moment, they would step over what was written between the two.
    ends: dict[TopicPartition, int] = consumer.end_offsets(partitions)
    if moment is None:
        return ends
    unix_ms = max(round(moment * 1000), 0)
    found = consumer.offsets_for_times(dict.fromkeys(partitions, unix_ms))
    return {partition: found[partition].offset if found.get(partition) else end for partition, end in ends.items()}


def connect_producer(kafka: KafkaSettings, **options: Any) -> "KafkaProducer":
    """An idempotent producer with acks=all.

    Raises:
        ServiceError: no broker answers, or it refuses us; the message names the cause.
    """
    from kafka import KafkaProducer

    defaults = {"acks": "all", "enable_idempotence": True}
    return _connect(kafka, KafkaProducer, {**defaults, **connection_options(kafka), **options})


@contextmanager
def together(producer: "KafkaProducer") -> Iterator[None]:
    """What is sent within goes to the client's thread at the end; to topics whose metadata is known.

    kafka-python wakes that thread for every new batch: it begins with the first record's partition alone, whose
    transaction then takes more requests, and competes with who sends the rest.
    """
    sender = producer._sender
    sender.wakeup = lambda: None  # in front of the method, which is there again below
    try:
        yield
    finally:
        del sender.wakeup
        sender.wakeup()


def send_offsets(producer: "KafkaProducer", offsets: "Offsets", membership: Any, timeout_s: float) -> None:
    """`producer.send_offsets_to_transaction` with an end.

    kafka-python (3.0.12) forgets a request of a transaction if the connection to its coordinator turns out to be
    broken just before it is sent, and then waits for its answer for ever: a broker that dies would stop the caller.

    Raises:
        KafkaTimeoutError: no answer came; the transaction can't go on.
    """
    _answered(producer, producer._transaction_manager.send_offsets_to_transaction(offsets, membership), timeout_s)


def commit_transaction(producer: "KafkaProducer", timeout_s: float) -> None:
    """`producer.commit_transaction` with an end; see `send_offsets`.

    Raises:
        KafkaTimeoutError: no answer came; whether it was committed is not known.
    """
    _answered(producer, producer._transaction_manager.begin_commit(), timeout_s)


def _answered(producer: "KafkaProducer", result: Any, timeout_s: float) -> None:
    from kafka.errors import KafkaTimeoutError

    producer._sender.wakeup()
    if not result.wait(timeout_ms=timeout_s * 1000):
        raise KafkaTimeoutError(f"a request of the transaction was not answered within {timeout_s:g} s")


def abandon(producer: "KafkaProducer", timeout_s: float = 1.0) -> None:
    """Lets a producer go whose records are not to be sent any more; does not fail.

    Its own `close` first waits for records that will never be acknowledged, and raises KafkaTimeoutError.
    """
    sender = producer._sender  # no public way (kafka-python 3.0.12)
    sender.force_close()
    sender.join(timeout_s)
    if not sender.is_alive():  # otherwise close() would raise; the thread ends by itself
        producer.close(timeout=timeout_s)


def connect_admin(kafka: KafkaSettings, **options: Any) -> "KafkaAdminClient":
    """An admin client.

    Raises:
        ServiceError: no broker answers, or it refuses us; the message names the cause.
    """
    from kafka import KafkaAdminClient

    shared = connection_options(kafka)
    for name in ("allow_auto_create_topics", "metrics_enabled"):
        del shared[name]
    return _connect(kafka, KafkaAdminClient, {**shared, **options})


def kafka_error(kafka: KafkaSettings, error: Exception) -> ServiceError:
    """What a failed Kafka operation means for the user; a missing right is named."""
    from kafka.errors import AuthorizationError

    where = f"Kafka at {kafka.bootstrap_servers}"
    if not isinstance(error, AuthorizationError):
        return ServiceError(f"{where}: {error}")
    kind, rights = _RIGHTS.get(type(error).__name__, ("this", "it"))
    # kafka-python gives a name, a set of names, or nothing.
    names = [name for arg in error.args for name in (sorted(arg) if isinstance(arg, set) else [arg])]
    what = " ".join([kind, *map(str, names)])
    return ServiceError(f"{where}: {kafka.sasl_username or 'this user'} has no right to {what}: grant {rights}")


_RIGHTS = {
    "TopicAuthorizationFailedError": ("topic", "Describe, and Read or Write"),
    "GroupAuthorizationFailedError": ("group", "Read on it"),
    "TransactionalIdAuthorizationFailedError": ("the transactional id", "Describe and Write on those that it uses"),
    "ClusterAuthorizationFailedError": ("the cluster", "IdempotentWrite, or Create for making topics"),
}


def topic_missing(kafka: KafkaSettings, topic: str) -> ServiceError:
    """Why a topic can't be found: it does not exist, or (what a consumer sees as the same) it is not for us."""
    from kafka.errors import KafkaError, TopicAuthorizationFailedError

    admin = connect_admin(kafka)
    try:
        described = admin.describe_topics([topic])
    except KafkaError as error:
        return kafka_error(kafka, error)
    finally:
        admin.close()
    if any(found["error_code"] == TopicAuthorizationFailedError.errno for found in described):
        return kafka_error(kafka, TopicAuthorizationFailedError(topic))
    return ServiceError(f"topic {topic} does not exist: run `streamer topics create`")


def tls_context(kafka: KafkaSettings) -> ssl.SSLContext | None:
    """What TLS connections are made with; None for a protocol without TLS.

    Raises:
        UsageError: a file of the settings is missing or not what it must be.
    """
    if not kafka.security_protocol.endswith("SSL"):
        return None
    context = trusting(kafka.ssl_cafile, "kafka.ssl_cafile")
    context.check_hostname = kafka.ssl_check_hostname
    if kafka.ssl_certfile:
        with file_named("kafka.ssl_certfile, ssl_keyfile or ssl_key_password", kafka.ssl_certfile):
            # A function, else OpenSSL asks the terminal for the password of an encrypted key.
            context.load_cert_chain(kafka.ssl_certfile, kafka.ssl_keyfile, kafka.ssl_key_password.get_secret_value)
    return context


def _connect(kafka: KafkaSettings, make: Callable[..., T], options: dict[str, Any]) -> T:
    """Makes a client once a broker lets us in. One that is not there yet is waited for, one that refuses us is not.

    Asked before kafka-python is, because that has one error for every failed start, takes its whole time-out
    to raise it, and leaves sockets behind.
    """
    from kafka.errors import KafkaError

    from streamer.broker_probe import refusal

    deadline = Deadline(kafka.connect_timeout_s)
    with _not_silent(kafka):
        while why := refusal(kafka, options["ssl_context"], min(kafka.connect_timeout_s, PROBE_STEP_S)):
            if why.lasting or deadline.passed:
                raise ServiceError(f"Kafka at {kafka.bootstrap_servers}: {why}")
            time.sleep(min(RETRY_S, deadline.remaining()))
        try:
            return make(**options, bootstrap_timeout_ms=round(kafka.connect_timeout_s * 1000))
        except KafkaError as error:
            raise ServiceError(f"Kafka at {kafka.bootstrap_servers}: {error}") from None


@contextmanager
def _not_silent(kafka: KafkaSettings) -> Iterator[None]:
    """Says what is waited for, if it takes long: on stderr where logging is not set up. One step alone may take 5 s."""
    words = "Kafka at %s does not answer yet; still trying, up to %g s in all"
    timer = threading.Timer(QUIET_S, log.warning, (words, mask(kafka.bootstrap_servers), kafka.connect_timeout_s))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
