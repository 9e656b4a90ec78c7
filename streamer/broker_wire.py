"""Just enough of Kafka's wire protocol to introduce oneself: https://kafka.apache.org/protocol."""

import base64
import hashlib
import hmac
import socket
import struct

METADATA, SASL_HANDSHAKE, API_VERSIONS, SASL_AUTHENTICATE = 3, 17, 18, 36
UNSUPPORTED_MECHANISM, ILLEGAL_SASL_STATE = 33, 34
HASHES = {"SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512"}
_LARGEST_ANSWER = 64 * 1024**2
_MOST_ROUNDS = 200_000  # of SCRAM; Kafka makes 16,384 at most


class Answer:
    """Fields of an answer, read one behind the other; EOFError where it ends too early."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        if not 0 <= count <= len(self._data):
            raise EOFError("not Kafka")
        taken, self._data = self._data[:count], self._data[count:]
        return taken

    def number(self, form: str) -> int:
        """The next number, in struct's notation."""
        value: int = struct.unpack(form, self.take(struct.calcsize(form)))[0]
        return value

    def string(self) -> str:
        """The next string; empty for none."""
        return self.take(max(self.number(">h"), 0)).decode(errors="replace")


class Wire:
    """One connection's questions and answers, one at a time."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def ask(self, api: int, version: int, body: bytes) -> Answer:
        """Sends a request and waits for its answer.

        Raises:
            EOFError: the broker closes the connection instead, or what comes is not Kafka; OSError: the socket's.
        """
        question = struct.pack(">hhi", api, version, 0) + string_field("streamer-probe") + body
        self._connection.sendall(struct.pack(">i", len(question)) + question)
        size = struct.unpack(">i", self._exactly(4))[0]
        if not 4 <= size <= _LARGEST_ANSWER:
            raise EOFError("not Kafka")
        return Answer(self._exactly(size)[4:])

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = self._connection.recv(count - len(data))
            if not more:
                raise EOFError("closed")
            data += more
        return data


def string_field(text: str) -> bytes:
    """A string as requests carry it."""
    return struct.pack(">h", len(text.encode())) + text.encode()


def scram_proof(digest: str, password: str, first: str, challenge: str) -> bytes:
    """The client's final message of SCRAM, RFC 5802 section 3; `first` without the `n,,` before it.

    Raises:
        EOFError: the challenge is none, or wants more work than any broker of ours does.
    """
    try:
        fields = dict(part.split("=", 1) for part in challenge.split(","))
        salt, rounds, nonce = base64.b64decode(fields["s"]), int(fields["i"]), fields["r"]
    except (KeyError, ValueError):
        raise EOFError("not Kafka") from None
    if not 1 <= rounds <= _MOST_ROUNDS:
        raise EOFError("not Kafka")
    salted = hashlib.pbkdf2_hmac(digest, password.encode(), salt, rounds)
    key = hmac.digest(salted, b"Client Key", digest)
    final = f"c=biws,r={nonce}"
    signature = hmac.digest(hashlib.new(digest, key).digest(), f"{first},{challenge},{final}".encode(), digest)
    proof = bytes(a ^ b for a, b in zip(key, signature, strict=True))
    return f"{final},p={base64.b64encode(proof).decode()}".encode()
