"""Kafka clients from the settings: one place for addresses, credentials and the options that all share.

kafka-python is imported on use: it takes a quarter of a second.
"""

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from streamer.errors import ServiceError, UsageError
from streamer.settings import KafkaSettings

if TYPE_CHECKING:
    from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer


def connection_options(kafka: KafkaSettings) -> dict[str, Any]:
    """Options that every client needs, credentials among them: never log the result."""
    if not kafka.bootstrap_servers:
        raise UsageError(
            "no Kafka: set kafka.bootstrap_servers (STREAMER_KAFKA__BOOTSTRAP_SERVERS), or start one with `streamer up`"
        )
    options: dict[str, Any] = {
        "bootstrap_servers": [server.strip() for server in kafka.bootstrap_servers.split(",")],
        "client_id": kafka.instance or f"streamer-{socket.gethostname()}-{os.getpid()}",
        "security_protocol": kafka.security_protocol,
        "bootstrap_timeout_ms": round(kafka.connect_timeout_s * 1000),
        # The defaults (30 s) add half a minute to every recovery.
        "reconnect_backoff_ms": 50,
        "reconnect_backoff_max_ms": 1000,
        "allow_auto_create_topics": False,
        "metrics_enabled": False,
    }
    if kafka.security_protocol.endswith("SSL"):
        options |= {
            "ssl_cafile": str(kafka.ssl_cafile) if kafka.ssl_cafile else None,
            "ssl_certfile": str(kafka.ssl_certfile) if kafka.ssl_certfile else None,
            "ssl_keyfile": str(kafka.ssl_keyfile) if kafka.ssl_keyfile else None,
            "ssl_password": kafka.ssl_key_password.get_secret_value() or None,
            "ssl_check_hostname": kafka.ssl_check_hostname,
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
    with _cause_named(kafka):
        return KafkaConsumer(**{**defaults, **connection_options(kafka), **options})


def connect_producer(kafka: KafkaSettings, **options: Any) -> "KafkaProducer":
    """An idempotent producer with acks=all.

    Raises:
        ServiceError: no broker answers, or it refuses us; the message names the cause.
    """
    from kafka import KafkaProducer

    defaults = {"acks": "all", "enable_idempotence": True}
    with _cause_named(kafka):
        return KafkaProducer(**{**defaults, **connection_options(kafka), **options})


def connect_admin(kafka: KafkaSettings, **options: Any) -> "KafkaAdminClient":
    """An admin client.

    Raises:
        ServiceError: no broker answers, or it refuses us; the message names the cause.
    """
    from kafka import KafkaAdminClient

    shared = connection_options(kafka)
    for name in ("allow_auto_create_topics", "metrics_enabled"):
        del shared[name]
    with _cause_named(kafka):
        return KafkaAdminClient(**{**shared, **options})


def kafka_error(kafka: KafkaSettings, error: Exception) -> ServiceError:
    """What a failed Kafka operation means for the user."""
    from kafka.errors import AuthorizationError

    where = f"Kafka at {kafka.bootstrap_servers}"
    if isinstance(error, AuthorizationError):
        return ServiceError(f"{where}: no right for this: {error}; grant it to {kafka.sasl_username or 'this user'}")
    return ServiceError(f"{where}: {error}")


@contextmanager
def _cause_named(kafka: KafkaSettings) -> Iterator[None]:
    """Turns kafka-python's one error for every failed start into one that says what to change.

    The cause is only in its log, so that is listened to meanwhile.
    """
    from kafka.errors import KafkaError

    heard = _Listener()
    logger = logging.getLogger("kafka")
    logger.addHandler(heard)
    try:
        yield
    except KafkaError as error:
        raise ServiceError(f"Kafka at {kafka.bootstrap_servers}: {_advice(heard.text, error)}") from None
    finally:
        logger.removeHandler(heard)


class _Listener(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text += record.getMessage() + "\n"


def _advice(heard: str, error: Exception) -> str:
    for sign, advice in _SIGNS:
        if sign in heard:
            return advice
    return f"no answer ({error}); is the address right and the broker up?"


_SIGNS = (
    ("SaslAuthenticationFailed", "login refused: check kafka.sasl_username, sasl_password and sasl_mechanism"),
    ("UnsupportedSaslMechanism", "the broker does not offer this kafka.sasl_mechanism"),
    ("address mismatch", "its certificate is for another host name: use that name in kafka.bootstrap_servers"),
    ("Hostname mismatch", "its certificate is for another host name: use that name in kafka.bootstrap_servers"),
    ("CERTIFICATE_VERIFY_FAILED", "its certificate is not signed by an authority in kafka.ssl_cafile"),
    ("ECONNREFUSED", "nothing listens there: check kafka.bootstrap_servers, or start one with `streamer up`"),
)
