"""Why a broker does not let us in, found out by speaking to it step by step: connect, TLS, login.

kafka-python reports every failed start as the same time-out; the cause is only in its log, and not always there:
an answer that arrives together with the end of the connection is thrown away.
"""

import secrets
import socket
import ssl
import struct
from collections.abc import Callable

from streamer.broker_wire import (
    API_VERSIONS,
    HASHES,
    ILLEGAL_SASL_STATE,
    METADATA,
    SASL_AUTHENTICATE,
    SASL_HANDSHAKE,
    UNSUPPORTED_MECHANISM,
    Answer,
    Wire,
    scram_proof,
    string_field,
)
from streamer.settings import KafkaSettings
from streamer.tls import certificate_advice


class Refusal(Exception):
    """Why not, in one line that says what to change; `lasting`: waiting can't help."""

    def __init__(self, reason: str, lasting: bool = True) -> None:
        super().__init__(reason)
        self.lasting = lasting


def refusal(kafka: KafkaSettings, context: ssl.SSLContext | None, timeout_s: float) -> Refusal | None:
    """Why none of the bootstrap servers lets us in; None if one of them does.

    context: for TLS, None for a protocol without it.
    timeout_s: for each step with each server.
    """
    whys = []
    for server in kafka.bootstrap_servers.split(","):
        try:
            _try_server(kafka, server.strip(), context, timeout_s)
            return None
        except Refusal as why:
            whys.append(why)
    # A broker that is down says less than one that refuses us.
    return next((why for why in whys if why.lasting), whys[0])


def split_address(server: str) -> tuple[str, int]:
    """Host and port of `host:port`, `[::1]:port` or `host` (Kafka's usual port).

    Raises:
        Refusal: it is neither.
    """
    host, colon, port = server.rpartition(":")
    if not colon or server.endswith("]"):
        host, port = server, "9092"
    if not host or not port.isdigit() or int(port) > 65535:
        raise Refusal(f"{server!r} in kafka.bootstrap_servers is not host:port")
    return host.strip("[]"), int(port)


def own_addresses(
    kafka: KafkaSettings, server: str, context: ssl.SSLContext | None, timeout_s: float
) -> list[tuple[str, int]]:
    """Host and port of every broker as the cluster calls them (advertised.listeners); clients go on with these.

    Raises:
        Refusal: `server`, one of the bootstrap servers, does not let us in.
    """
    host, port = split_address(server)
    with _connect(host, port, timeout_s) as plain:
        if context is None:
            return _introduce(Wire(plain), kafka, lambda: _speaks_tls(host, port, timeout_s))
        with _secure(plain, host, context, lambda: _speaks_plain(host, port, timeout_s)) as secured:
            return _introduce(Wire(secured), kafka, lambda: False)


def is_reachable(address: tuple[str, int], timeout_s: float) -> bool:
    """Whether somebody listens at host and port."""
    try:
        socket.create_connection(address, timeout_s).close()
    except OSError:
        return False
    return True


def _try_server(kafka: KafkaSettings, server: str, context: ssl.SSLContext | None, timeout_s: float) -> None:
    brokers = own_addresses(kafka, server, context, timeout_s)
    if not brokers:
        raise Refusal("it is only starting: no broker is ready", lasting=False)
    if not any(is_reachable(broker, timeout_s) for broker in brokers):
        names = ", ".join(f"{host}:{port}" for host, port in brokers)
        raise Refusal(
            f"it sends us on to {names}, which can't be reached from here: correct its advertised.listeners",
            lasting=False,
        )


def _connect(host: str, port: int, timeout_s: float) -> socket.socket:
    try:
        return socket.create_connection((host, port), timeout_s)
    except socket.gaierror:
        raise Refusal(f"no machine is called {host}: check kafka.bootstrap_servers", lasting=False) from None
    except ConnectionRefusedError:
        raise Refusal(
            "nothing listens there: check kafka.bootstrap_servers, or start one with `streamer up`", lasting=False
        ) from None
    except OSError as error:
        raise Refusal(
            f"can't be reached ({error.strerror or error}): check kafka.bootstrap_servers and the network",
            lasting=False,
        ) from None


def _secure(plain: socket.socket, host: str, context: ssl.SSLContext, is_plain: Callable[[], bool]) -> ssl.SSLSocket:
    try:
        return context.wrap_socket(plain, server_hostname=host)
    except ssl.SSLCertVerificationError as error:
        advice = certificate_advice(error, "kafka.bootstrap_servers", "kafka.ssl_cafile")
        raise Refusal(advice) from None
    except OSError as error:
        if is_plain():
            raise Refusal(
                "it does not speak TLS on this port: set kafka.security_protocol to PLAINTEXT or SASL_PLAINTEXT, "
                "or take its TLS port"
            ) from None
        raise Refusal(f"TLS failed ({_ssl_reason(error)}): check kafka.ssl_certfile and kafka.ssl_keyfile") from None


def _introduce(wire: Wire, kafka: KafkaSettings, speaks_tls: Callable[[], bool]) -> list[tuple[str, int]]:
    """Everything behind the connection: versions, the login, who else is there."""
    try:
        wire.ask(API_VERSIONS, 0, b"")
    except (OSError, EOFError) as error:
        if speaks_tls():
            raise Refusal("it speaks TLS on this port: set kafka.security_protocol to SSL or SASL_SSL") from None
        raise Refusal(_silence_advice(error), lasting=isinstance(error, ssl.SSLError)) from None
    login = kafka.security_protocol.startswith("SASL")
    try:
        if login:
            _log_in(wire, kafka)
        return _brokers(wire.ask(METADATA, 1, struct.pack(">i", 0)))  # about no topic
    except (OSError, EOFError) as error:
        if not login and isinstance(error, EOFError | ConnectionError):
            raise Refusal("it wants a login: set kafka.security_protocol to SASL_PLAINTEXT or SASL_SSL") from None
        raise Refusal(_silence_advice(error), lasting=False) from None


def _brokers(answer: Answer) -> list[tuple[str, int]]:
    found = []
    for _ in range(answer.number(">i")):
        answer.number(">i")  # its id
        found.append((answer.string(), answer.number(">i")))
        answer.string()  # its rack
    return found


def _log_in(wire: Wire, kafka: KafkaSettings) -> None:
    mechanism = kafka.sasl_mechanism
    answer = wire.ask(SASL_HANDSHAKE, 1, string_field(mechanism))
    code = answer.number(">h")
    if code == ILLEGAL_SASL_STATE:
        raise Refusal("it wants no login on this port: set kafka.security_protocol to PLAINTEXT or SSL")
    if code == UNSUPPORTED_MECHANISM:
        offered = [answer.string() for _ in range(answer.number(">i"))]
        raise Refusal(f"it does not offer kafka.sasl_mechanism {mechanism}, but {', '.join(sorted(offered))}")
    name, password = kafka.sasl_username, kafka.sasl_password.get_secret_value()
    if mechanism == "PLAIN":
        _authenticate(wire, f"\0{name}\0{password}".encode(), name)
        return
    nonce = secrets.token_hex(16)
    # "=" and "," are written otherwise in a SCRAM name.
    first = f"n={name.replace('=', '=3D').replace(',', '=2C')},r={nonce}"
    challenge = _authenticate(wire, f"n,,{first}".encode(), name).decode(errors="replace")
    _authenticate(wire, scram_proof(HASHES[mechanism], password, first, challenge), name)


def _authenticate(wire: Wire, message: bytes, name: str) -> bytes:
    answer = wire.ask(SASL_AUTHENTICATE, 0, struct.pack(">i", len(message)) + message)
    if answer.number(">h"):
        raise Refusal(f"login of {name!r} refused: check kafka.sasl_username and kafka.sasl_password")
    answer.string()
    return answer.take(answer.number(">i"))


def _speaks_tls(host: str, port: int, timeout_s: float) -> bool:
    """Whether a TLS handshake goes through, whatever the certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with socket.create_connection((host, port), timeout_s) as plain:
            context.wrap_socket(plain, server_hostname=host).close()
        return True
    except OSError:
        return False


def _speaks_plain(host: str, port: int, timeout_s: float) -> bool:
    """Whether Kafka answers without TLS."""
    try:
        with socket.create_connection((host, port), timeout_s) as plain:
            Wire(plain).ask(API_VERSIONS, 0, b"")
        return True
    except (OSError, EOFError):
        return False


def _silence_advice(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return f"TLS failed ({_ssl_reason(error)}): it may want kafka.ssl_certfile and kafka.ssl_keyfile"
    if isinstance(error, TimeoutError):
        return "it does not answer: is this a Kafka broker's port?"
    return "it closes the connection: is this a Kafka broker's port?"


def _ssl_reason(error: OSError) -> str:
    return (getattr(error, "reason", None) or error.strerror or str(error)).lower().replace("_", " ")
