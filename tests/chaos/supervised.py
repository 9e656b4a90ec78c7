"""Processes that are started again when they end, as a supervisor of production does it, and that may be broken."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamer.settings import PREFIX
from streamer.stack import kafka_server, redis_server
from streamer.stack.jars import kafka_jars
from streamer.stack.java import find_java
from streamer.stack.process import CONSOLE, launch, stop

_RESTART_S = 0.5


@dataclass(frozen=True)
class End:
    """Of a process, that nobody asked for, or not like that. at: by the monotonic clock."""

    status: int
    at: float


class Supervised:
    """One process. Belongs to the main thread, with which it ends.

    starts: how often it was started. ended: ends that nobody asked for, or that were no clean ones.
    """

    def __init__(self, name: str, command: list[str], folder: Path) -> None:
        self.name, self._command, self._folder = name, command, folder
        self._process: subprocess.Popen[bytes] | None = None
        self._ended_at: float | None = None
        self._killed = self._frozen = False
        self.starts = 0
        self.ended: list[End] = []

    @property
    def pid(self) -> int:
        """Of the process that runs now, or ran last."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """What the one before said stays beside it."""
        console = self._folder / CONSOLE
        if console.exists():
            console.rename(self._folder / f"console.{self.starts}.log")
        self._process = launch(self._command, self._folder)
        self._ended_at, self._killed = None, False
        self.starts += 1

    def watch(self) -> None:
        """Starts it again, if it has ended."""
        assert self._process is not None
        self._look()
        if self._ended_at is not None and time.monotonic() - self._ended_at > _RESTART_S:
            self.start()

    def _look(self) -> None:
        """Notes its end, if nobody asked for it."""
        assert self._process is not None
        if self._process.poll() is None or self._ended_at is not None:
            return
        self._ended_at = time.monotonic()
        if not self._killed:
            self.ended.append(End(self._process.returncode, self._ended_at))

    @property
    def runs(self) -> bool:
        """Whether there is a process."""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """As the kernel does when memory runs out."""
        assert self._process is not None
        self._look()
        self._killed = True
        self._process.kill()
        self._process.wait()

    def freeze(self) -> None:
        """Stops it where it stands: it neither works nor closes a connection."""
        self.signal(signal.SIGSTOP)

    def wake(self) -> None:
        """After freeze."""
        self.signal(signal.SIGCONT)

    def signal(self, number: signal.Signals) -> None:
        """Sends it one."""
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self, timeout_s: float = 20) -> None:
        """Asks it to end; for good."""
        if self._process is not None:
            self.wake()
            stop(self._process, timeout_s)

    def retire(self) -> None:
        """The same, and holds it against it if it does not end as it should."""
        assert self._process is not None
        self._look()
        if not self.runs:
            return
        self.stop()
        if self._process.returncode:
            self.ended.append(End(self._process.returncode, time.monotonic()))


def forget_settings() -> None:
    """Takes settings of ours out of the environment: the processes would have them too, and they are the stronger."""
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        del os.environ[name]


def service(name: str, words: list[str], folder: Path, settings: Mapping[str, Mapping[str, Any]]) -> Supervised:
    """`streamer WORDS...` with settings of its own."""
    own = folder / name
    own.mkdir()
    with (own / "streamer.toml").open("w", encoding="utf-8") as file:
        for section, values in settings.items():
            file.write(f"[{section}]\n")
            file.writelines(f"{key} = {_toml(value)}\n" for key, value in values.items())
    return Supervised(name, [sys.executable, "-P", "-m", "streamer", *words], own)


def _toml(value: object) -> str:
    return str(value) if isinstance(value, int | float) else f'"{value}"'


def broker(folder: Path, port: int, controller_port: int, extra: Mapping[str, str] | None = None) -> Supervised:
    """Kafka as in the one-machine stack, but for what `extra` says."""
    own = folder / "kafka"
    own.mkdir()
    java, jars = find_java(), kafka_jars("", lambda _: None)
    kafka_server.write_files(own, kafka_server.properties(port, controller_port, extra))
    kafka_server.format_storage(own, java, jars)
    return Supervised("broker", [*kafka_server.java_command(java, jars, 384, "kafka.Kafka"), "server.properties"], own)


def behind(port: int, controller_port: int, cut_port: int, proxy_port: int) -> dict[str, str]:
    """What a broker is told that is reached by some through a proxy, which passes on to `cut_port`."""
    here = "127.0.0.1"
    return {
        "listeners": f"PLAINTEXT://{here}:{port},CUT://{here}:{cut_port},CONTROLLER://{here}:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://{here}:{port},CUT://{here}:{proxy_port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CUT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    }


def mirror(folder: Path, port: int) -> Supervised:
    """Redis as in the one-machine stack."""
    own = folder / "redis"
    own.mkdir()
    redis_server.write_files(own, port)
    return Supervised("redis", [str(redis_server.find_redis()), "redis.conf"], own)


def listens(port: int) -> bool:
    """Whether a port of this machine answers."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=0.2).close()
        return True
    except OSError:
        return False
