"""A command that waits for a broker says so."""

import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from streamer.children import environment_of
from streamer.settings import load


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a server that lets everybody in and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize(
    ("words", "login"), [(["topics", "check"], ""), (["streams", "list"], "me:hunter2@"), (["results", "tail"], "")]
)
def test_after_two_seconds_it_says_where_it_is_trying(silent: str, words: list[str], login: str) -> None:
    there = {"bootstrap_servers": login + silent, "connect_timeout_s": 3}
    settings = load(environ={}, overrides={"kafka": there, "redis": {"url": "redis://127.0.0.1:1"}})
    command = [sys.executable, "-m", "streamer", *words]
    done = subprocess.run(command, env=environment_of(settings), capture_output=True, text=True, check=False)
    [said, last] = done.stderr.splitlines()
    place = f"Kafka at {'***@' if login else ''}{silent}"
    assert said.endswith(f"{place} does not answer yet; still trying, up to 3 s in all")
    assert (done.returncode, done.stdout) == (3, "")
    assert last.startswith(f"streamer {words[0]}: {place}: ")
