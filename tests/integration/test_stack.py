"""The one-machine stack as processes: what starts, what is shared, and that nothing is left behind."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from streamer.errors import ServiceError
from streamer.settings import Settings, StackSettings
from streamer.stack import Stack, with_stack_addresses
from tests.waiting import eventually

STARTER = """
import sys, time
from pathlib import Path
from streamer.settings import StackSettings
from streamer.stack import Stack
stack = Stack(StackSettings(home=Path(sys.argv[1])))
addresses = stack.start(lifeline=True)
print(addresses.kafka, addresses.redis, flush=True)
time.sleep(600)
"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "home"
    Stack(StackSettings(home=tmp_path / "home")).stop()


def starter(home: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", STARTER, str(home)], stdout=subprocess.PIPE, text=True)


def processes_in(home: Path) -> list[psutil.Process]:
    """Those that work in this folder: the keeper and its servers do."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if Path(process.cwd()).is_relative_to(home):
                found.append(process)
    return found


def test_a_life_of_the_stack(home: Path) -> None:
    """One start for many questions: a JVM's start is the dear part."""
    stack = Stack(StackSettings(home=home))
    assert stack.status().phase == "stopped"
    assert not stack.stop()

    first, second = starter(home), starter(home)
    with first, second:
        assert first.stdout
        assert second.stdout
        # Two at once: one starts it, the other waits and gets the same.
        line = first.stdout.readline()
        assert line
        assert second.stdout.readline() == line
        status = stack.status()
        assert status.phase == "ready"
        assert status.addresses
        assert f"{status.addresses.kafka} {status.addresses.redis}\n" == line

        settings = with_stack_addresses(Settings(stack=StackSettings(home=home)))
        assert settings.kafka.bootstrap_servers == status.addresses.kafka
        assert settings.redis.url == status.addresses.redis

        # It stays for the second when the first is killed, and goes with the last one.
        first.kill()
        first.wait()
        assert stack.start(lifeline=False) == status.addresses
        second.kill()
        second.wait()

    # Somebody told it to stay.
    assert stack.status().phase == "ready"
    kafka = dict(status.pids)["kafka"]
    os.kill(kafka, signal.SIGKILL)
    eventually(lambda: stack.status().phase == "broken", "a crash is seen")
    assert "kafka has ended (killed by signal 9)" in stack.status().message
    assert Path(stack.status().message.rpartition("see ")[2]).is_file()

    # Starting again mends it, on the same addresses.
    assert stack.start(lifeline=False) == status.addresses
    assert stack.stop()
    assert stack.status().phase == "stopped"
    assert processes_in(home) == []
    assert not stack.stop()


def test_nothing_outlives_a_killed_parent_or_keeper(home: Path) -> None:
    stack = Stack(StackSettings(home=home))
    with starter(home) as parent:
        assert parent.stdout
        assert parent.stdout.readline()
        assert {process.name() for process in processes_in(home)} >= {"java", "redis-server"}
        parent.kill()
    eventually(lambda: processes_in(home) == [], "all ends with the parent")

    stack.start(lifeline=True)
    keeper = psutil.Process(dict(stack.status().pids)["kafka"]).parent()
    assert keeper
    keeper.kill()
    if sys.platform == "linux":
        eventually(lambda: processes_in(home) == [], "all ends with the keeper")
    assert stack.status().phase == "stopped"


def test_a_parent_that_is_killed_while_it_starts_leaves_nothing(home: Path) -> None:
    with starter(home) as parent:
        eventually(lambda: Stack(StackSettings(home=home)).status().phase == "starting", "the keeper is there")
        parent.kill()
    eventually(lambda: processes_in(home) == [], "all ends with the parent")


def test_a_server_that_can_not_start_says_where_to_read(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = home.parent / "bin" / "redis-server"
    broken.parent.mkdir()
    broken.write_text("#!/bin/sh\necho no luck\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", str(broken.parent), prepend=os.pathsep)
    with pytest.raises(ServiceError, match=r"redis has ended \(exit status 3\): see .*console.log"):
        Stack(StackSettings(home=home)).start(lifeline=True)
    eventually(lambda: processes_in(home) == [], "what had started is stopped")


def test_given_addresses_are_left_alone(stack: object, tmp_path: Path) -> None:
    given = Settings.model_validate({"kafka": {"bootstrap_servers": "far:9092"}, "redis": {"url": "redis://far"}})
    assert with_stack_addresses(given) is given
    nothing_runs = Settings(stack=StackSettings(home=tmp_path))
    assert with_stack_addresses(nothing_runs) is nothing_runs
