"""The telemetry server: what each path answers, and how a port that can't be had is reported."""

import http.client
import socket
from collections.abc import Iterator

import pytest
from prometheus_client import Counter
from prometheus_client.parser import text_string_to_metric_families

from streamer.errors import UsageError
from streamer.settings import TelemetrySettings
from streamer.telemetry.server import TelemetryServer

SEEN = Counter("telemetry_test_seen", "Frames seen.", ["stream"])
reason: str | None = None


@pytest.fixture
def server() -> Iterator[TelemetryServer]:
    with TelemetryServer(TelemetrySettings(port=0), lambda: reason) as running:
        yield running


def get(server: TelemetryServer, path: str, method: str = "GET") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_metrics_can_be_parsed(server: TelemetryServer) -> None:
    SEEN.labels("gate").inc(3)
    status, body = get(server, "/metrics")
    families = {family.name: family for family in text_string_to_metric_families(body)}
    assert status == 200
    sample = next(s for s in families["telemetry_test_seen"].samples if s.name.endswith("_total"))
    assert (sample.labels, sample.value) == ({"stream": "gate"}, 3)
    assert "process_cpu_seconds" in families


@pytest.mark.parametrize(
    ("path", "method", "status", "body"),
    [
        ("/healthz", "GET", 200, "ok\n"),
        ("/readyz?verbose", "GET", 200, "ready\n"),
        ("/readyz", "HEAD", 200, ""),
        ("/", "GET", 404, "/metrics, /healthz or /readyz\n"),
    ],
)
def test_answers(server: TelemetryServer, path: str, method: str, status: int, body: str) -> None:
    assert get(server, path, method) == (status, body)


def test_not_ready_names_the_reason_and_recovers(server: TelemetryServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.reason", "no broker since 12 s")
    assert get(server, "/readyz") == (503, "no broker since 12 s\n")
    assert get(server, "/healthz")[0] == 200
    monkeypatch.undo()
    assert get(server, "/readyz") == (200, "ready\n")


def test_a_broken_readiness_check_costs_its_request_only(
    server: TelemetryServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> str:
        raise ZeroDivisionError

    assert server._server is not None
    monkeypatch.setattr(server._server, "ready", broken)
    with pytest.raises(http.client.RemoteDisconnected):
        get(server, "/readyz")
    assert "ZeroDivisionError" in caplog.text
    assert get(server, "/healthz")[0] == 200


def test_port_minus_one_listens_nowhere() -> None:
    with TelemetryServer(TelemetrySettings(port=-1), lambda: None) as server:
        assert server.port == -1


def test_a_port_in_use_is_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=rf"can't listen on 127.0.0.1:{port}: .* change telemetry.port"):
            TelemetryServer(TelemetrySettings(port=port), lambda: None).start()


def test_closed_it_no_longer_answers_and_can_close_again() -> None:
    server = TelemetryServer(TelemetrySettings(port=0), lambda: None)
    server.start()
    port = server.port
    server.close()
    server.close()
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), timeout=5):
        pass
