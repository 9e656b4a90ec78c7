"""Kafka's jars come whole and as pinned, or not at all. The repository is a web server of this test."""

import gc
import hashlib
import http.server
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamer.errors import ServiceError
from streamer.stack.home import cache_folder
from streamer.stack.jars import Jar, kafka_jars, pinned_jars

CONTENT = {"one": b"1" * 100_000, "two": b"2" * 100_000}
JARS = tuple(Jar(hashlib.sha256(body).hexdigest(), "org.example", name, "1.0") for name, body in CONTENT.items())


class Repository(http.server.ThreadingHTTPServer):
    """Serves JARS as Maven's repositories do; can be told to serve something else for a path."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[str] = []
        self.instead: dict[str, bytes] = {}
        self.cut_short = False
        self.hang = threading.Event()
        self.hanging = threading.Event()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/maven2"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Repository

    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2]
        self.server.asked.append(name)
        stem, _, checksum = name.partition("-1.0.jar")
        body = self.server.instead.get(name, CONTENT.get(stem))
        if body is None:
            self.send_error(404)
            return
        if checksum == ".sha1":
            body = hashlib.sha1(body).hexdigest().encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.server.hang.is_set() or (self.server.cut_short and not checksum):
            self.wfile.write(body[:1000])
            self.wfile.flush()
            if self.server.hang.is_set():
                self.server.hanging.set()
                threading.Event().wait(60)
            return
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Repository]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with Repository() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server
        server.shutdown()
    with warnings.catch_warnings():
        # jgo leaves the answers that it does not like to the collector.
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def fetch(repository: Repository) -> list[Path]:
    return kafka_jars(repository.address, lambda _: None, JARS)


def cached() -> set[str]:
    return {path.name for path in (cache_folder() / "jars").iterdir()} - {".lock"}


def test_fetched_once_and_in_order(repository: Repository) -> None:
    said: list[str] = []
    paths = kafka_jars(repository.address, said.append, JARS)
    assert [path.read_bytes() for path in paths] == list(CONTENT.values())
    assert said == ["fetching Kafka: 1 of 2 jars", "fetching Kafka: 2 of 2 jars"]
    asked = list(repository.asked)
    assert kafka_jars(repository.address, said.append, JARS) == paths
    assert repository.asked == asked
    assert len(said) == 2


def test_a_damaged_jar_is_fetched_again(repository: Repository) -> None:
    first, second = fetch(repository)
    first.write_bytes(b"damaged")
    repository.asked.clear()
    assert fetch(repository) == [first, second]
    assert first.read_bytes() == CONTENT["one"]
    assert "two-1.0.jar" not in repository.asked


def test_another_file_than_the_pinned_one_is_refused(repository: Repository) -> None:
    repository.instead["one-1.0.jar"] = b"something else"
    repository.instead["one-1.0.jar.sha1"] = b"something else"  # its own checksum fits
    with pytest.raises(ServiceError, match=r"one-1\.0\.jar .* is not the file that we know: its SHA-256 differs"):
        fetch(repository)
    assert cached() <= {"two-1.0.jar"}


def test_a_download_that_breaks_off_leaves_nothing_half(repository: Repository) -> None:
    repository.cut_short = True
    with pytest.raises(ServiceError, match=r"can't fetch .*\.jar from http://127\.0\.0\.1"):
        fetch(repository)
    assert cached() == set()
    repository.cut_short = False
    assert len(fetch(repository)) == 2


def test_a_download_that_is_killed_leaves_nothing_half(repository: Repository) -> None:
    repository.hang.set()
    code = f"""
from streamer.stack.jars import Jar, kafka_jars
kafka_jars({repository.address!r}, print, {JARS!r})
"""
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        assert repository.hanging.wait(30)
        process.kill()
    assert all(name.startswith(".part-") for name in cached())
    repository.hang.clear()
    assert len(fetch(repository)) == 2
    assert cached() == {jar.file_name for jar in JARS}


def test_a_jar_that_is_not_there(repository: Repository) -> None:
    absent = Jar("0" * 64, "org.example", "absent", "1.0")
    with pytest.raises(ServiceError, match=r"can't fetch absent-1\.0\.jar"):
        kafka_jars(repository.address, lambda _: None, (absent,))


def test_no_repository(repository: Repository) -> None:
    with pytest.raises(ServiceError, match=r"can't fetch one-1\.0\.jar from http://127\.0\.0\.1:1:"):
        kafka_jars("http://127.0.0.1:1", lambda _: None, JARS[:1])


def test_what_is_pinned_is_one_kafka() -> None:
    jars = pinned_jars()
    versions = {jar.version for jar in jars if jar.group == "org.apache.kafka"}
    assert len(versions) == 1
    assert versions.pop().startswith("4.1.")
    assert len({jar.file_name for jar in jars}) == len(jars)
    assert all(len(jar.sha256) == 64 for jar in jars)
