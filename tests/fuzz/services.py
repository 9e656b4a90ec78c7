"""What other programs say: a port that is said to be Kafka's, and whoever comes to the port for metrics."""

import contextlib
import logging
import socket
import struct
import threading
from functools import cache

from hypothesis import strategies as st
from pydantic import SecretStr

from streamer.broker_probe import Refusal, own_addresses
from streamer.broker_wire import string_field
from streamer.settings import KafkaSettings, TelemetrySettings
from streamer.telemetry.server import TelemetryServer
from tests.fuzz.limits import SECRET
from tests.fuzz.near import bytes_near
from tests.fuzz.target import Target

CHALLENGE = b"r=%s,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
VERSIONS = struct.pack(">hi", 0, 1) + struct.pack(">hhh", 3, 0, 9)
HANDSHAKE = struct.pack(">hi", 0, 1) + string_field("SCRAM-SHA-256")
METADATA = struct.pack(">ii", 1, 7) + string_field("127.0.0.1") + struct.pack(">ih", 9092, -1)


def authenticated(text: bytes) -> bytes:
    """The answer to a step of the login."""
    return struct.pack(">hhi", 0, -1, len(text)) + text


ANSWERS = (VERSIONS, HANDSHAKE, authenticated(CHALLENGE % b"nonce"), authenticated(b"v=x"), METADATA)


class Port:
    """A port of this machine that answers what it is told, request after request, and then hangs up."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.answers: tuple[bytes, ...] = ()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            with connection, contextlib.suppress(OSError, struct.error):
                for answer in self.answers:
                    (size,) = struct.unpack(">i", connection.recv(4, socket.MSG_WAITALL))
                    connection.recv(size, socket.MSG_WAITALL)
                    connection.sendall(answer)


@cache
def port() -> Port:
    """The one of this process."""
    return Port()


def ask_broker(answers: tuple[bytes, ...]) -> None:
    """A broker that answers so, each answer behind its size."""
    port().answers = answers
    kafka = KafkaSettings(
        bootstrap_servers=port().address,
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="SCRAM-SHA-256",
        sasl_username="worker",
        sasl_password=SecretStr(SECRET),
    )
    for host, number in own_addresses(kafka, port().address, None, 0.1):
        assert isinstance(host, str)
        assert isinstance(number, int)


def _framed(answer: bytes) -> bytes:
    return struct.pack(">ii", len(answer) + 4, 0) + answer


def _with(place: int, answer: bytes) -> tuple[bytes, ...]:
    return tuple(_framed(answer if place == number else other) for number, other in enumerate(ANSWERS))


one_wrong = st.integers(0, len(ANSWERS) - 1).flatmap(
    lambda place: bytes_near([ANSWERS[place]]).map(lambda answer: _with(place, answer))
)
no_frames = st.tuples(bytes_near([_framed(VERSIONS)]))
COSTLY = _with(2, authenticated(CHALLENGE.replace(b"4096", b"999999999") % b"nonce"))
REQUESTS = (
    b"GET /metrics HTTP/1.1\r\nHost: worker\r\nAccept: application/openmetrics-text;version=1.0.0;q=0.5\r\n\r\n",
    b"GET /readyz?verbose HTTP/1.1\r\nHost: worker\r\nConnection: keep-alive\r\n\r\nHEAD /healthz HTTP/1.0\r\n\r\n",
    b"POST /metrics HTTP/1.1\r\nContent-Length: 99999999999\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
)


class Errors(logging.Handler):
    """What the server logs as its own failure."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Takes one."""
        self.records.append(record)


@cache
def telemetry() -> tuple[TelemetryServer, Errors]:
    """The one of this process."""
    server, errors = TelemetryServer(TelemetrySettings(port=0), lambda: "starting"), Errors()
    server.start()
    logging.getLogger(TelemetryServer.__module__).addHandler(errors)
    return server, errors


def talk(request: bytes) -> None:
    """Somebody sends this to the port for metrics, and no more; the next one is answered all the same."""
    server, errors = telemetry()
    _exchange(server.port, request)
    assert _exchange(server.port, b"GET /readyz HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 503 ")
    failed, errors.records = errors.records, []
    assert not failed, [repr(record.exc_info[1]) for record in failed if record.exc_info]


def _exchange(port: int, request: bytes) -> bytes:
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection, contextlib.suppress(OSError):
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        while part := connection.recv(1 << 16):
            answer += part
    return answer


TARGETS = (
    Target("answers of a broker", one_wrong | no_frames, ask_broker, (Refusal,), [COSTLY, _with(4, b"")], examples=15),
    Target("requests for metrics", bytes_near(REQUESTS), talk, (), [REQUESTS[0].replace(b"1.0.0", b"x")]),
)
