"""Metrics, health and readiness over HTTP: /metrics, /healthz, /readyz."""

import logging
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.exposition import choose_encoder

from streamer.errors import UsageError
from streamer.settings import TelemetrySettings

log = logging.getLogger(__name__)

Ready = Callable[[], str | None]
"""None if the process does its work, else why it does not."""


class TelemetryServer:
    """Answers from threads of its own between start() and close(). With port -1 it does nothing.

    /healthz answers 200 as long as the process can answer at all; /readyz answers 503 with the reason.
    """

    def __init__(self, telemetry: TelemetrySettings, ready: Ready) -> None:
        self._telemetry, self._ready = telemetry, ready
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Listens.

        Raises:
            UsageError: the address can't be listened on.
        """
        host, port = self._telemetry.host, self._telemetry.port
        if port < 0:
            return
        try:
            self._server = _Server(host, port, self._ready)
        except OSError as error:
            raise UsageError(
                f"can't listen on {host}:{port}: {error.strerror}; change telemetry.port or host"
            ) from None
        self._thread = threading.Thread(target=self._server.serve, name="telemetry", daemon=True)
        self._thread.start()
        log.info("telemetry on http://%s:%d/metrics", host, self.port, extra={"port": self.port})

    @property
    def port(self) -> int:
        """The port listened on; -1: none."""
        return self._server.server_port if self._server else -1

    def close(self) -> None:
        """Stops listening. May be called again."""
        if self._server is not None and self._thread is not None:
            self._server.leave()
            self._thread.join()
            self._server.server_close()
            self._server = self._thread = None

    def __enter__(self) -> "TelemetryServer":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, host: str, port: int, ready: Ready) -> None:
        self.ready = ready
        self._leaving = False
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Handler)

    def serve(self) -> None:
        """Until leave(). Not serve_forever(), which looks up so many times a second: each waking costs."""
        while not self._leaving:
            self.handle_request()

    def leave(self) -> None:
        """Ends serve(), by a last connection that wakes it."""
        self._leaving = True
        with suppress(OSError), socket.create_connection(self.socket.getsockname()[:2], timeout=1):
            pass

    def server_bind(self) -> None:
        # HTTPServer's own asks the name service for our host's name, which can take seconds.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        if isinstance(sys.exception(), ConnectionError | TimeoutError):
            return  # it left before it had its answer
        log.exception("a request from %s failed", client_address)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 5  # seconds of silence; else idle connections pile up threads
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        match self.path.partition("?")[0]:
            case "/metrics":
                encode, content_type = _encoder(self.headers.get("Accept", ""))
                self._answer(200, encode(REGISTRY), content_type)
            case "/healthz":
                self._answer(200, b"ok\n")
            case "/readyz":
                reason = self.server.ready()
                self._answer(503 if reason else 200, f"{reason or 'ready'}\n".encode())
            case _:
                self._answer(404, b"/metrics, /healthz or /readyz\n")

    do_HEAD = do_GET

    def _answer(self, status: int, body: bytes, content_type: str = "text/plain; charset=utf-8") -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        log.debug(format, *args)


def _encoder(accept: str) -> tuple[Callable[[CollectorRegistry], bytes], str]:
    """How metrics are written for who accepts this: plainly, if it asks for a version that is none."""
    try:
        return choose_encoder(accept)
    except (TypeError, ValueError):  # prometheus_client compares the version's parts with numbers, whatever they are
        return choose_encoder("")
