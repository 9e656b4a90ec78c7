"""The keeper: a small process that starts Kafka and Redis, watches them, and takes them down.

It lives in a session of its own, so Ctrl-C in a terminal does not reach it. What it hears comes over a FIFO on
its standard input, the lifeline. Each process that the stack shall not outlive holds the FIFO open; the kernel
tells the keeper when the last of them is gone, however it went (kill -9 too). A byte K means: stay without
anybody. A byte S means: stop.

The alive lock is inherited by both servers: it is free only when everything of this stack is gone.
"""

import ctypes
import fcntl
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from types import FrameType

from streamer.errors import ServiceError, StreamerError
from streamer.stack import kafka_server, redis_server
from streamer.stack.home import Home
from streamer.stack.state import Phase, State

KEEP, STOP = b"K", b"S"
READY_TIMEOUT_S = 60
STOP_TIMEOUT_S = 10
LOCK_TIMEOUT_S = 5
TICK_S = 0.2
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Plan:
    """What the starter has found out for the keeper, handed over in a file."""

    home: str
    java: str
    jars: list[str]
    redis: str
    heap_mb: int
    ports: tuple[int, int, int]  # of Kafka, its controller, Redis; 0: any

    def write(self) -> None:
        """Into its home."""
        Home(Path(self.home)).plan.write_text(json.dumps(asdict(self)), encoding="utf-8")


class Keeper:
    """One stack's life."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._home = Home(Path(plan.home))
        self._servers: dict[str, subprocess.Popen[bytes]] = {}
        self._stopping = False
        self._kept: int | None = None
        self._state: State | None = None

    def run(self) -> None:
        """Starts all, watches until told to stop or nobody is left, stops all."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._told_to_stop)
        lock = self._lock()
        try:
            self._start(lock)
            while not self._stopping:
                self._listen(TICK_S)
                self._watch()
        except StreamerError as error:
            self._say("broken", str(error))
        finally:
            self._stop_servers()

    def _told_to_stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True

    def _lock(self) -> int:
        """Servers of an earlier keeper that was killed may need a moment to follow it."""
        lock = os.open(self._home.alive, os.O_RDWR | os.O_CREAT, 0o600)
        deadline = time.monotonic() + LOCK_TIMEOUT_S
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return lock
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise SystemExit(f"servers of an earlier stack still run in {self._home.root}") from None
                time.sleep(0.02)

    def _start(self, lock: int) -> None:
        kafka_port, controller_port, redis_port = free_ports(self._plan.ports)
        self._state = State("starting", kafka_port, controller_port, redis_port, time.time())
        self._say("starting")
        redis_server.write_files(self._home.redis, redis_port)
        self._launch("redis", [self._plan.redis, "redis.conf"], self._home.redis, lock)
        java, jars = Path(self._plan.java), [Path(jar) for jar in self._plan.jars]
        kafka_server.write_files(self._home.kafka, kafka_server.properties(kafka_port, controller_port))
        kafka_server.format_storage(self._home.kafka, java, jars)
        command = kafka_server.java_command(java, jars, self._plan.heap_mb, "kafka.Kafka")
        self._launch("kafka", [*command, "server.properties"], self._home.kafka, lock)
        for name, port in (("redis", redis_port), ("kafka", kafka_port)):
            self._wait_for(name, port)
        if not self._stopping:
            self._say("ready")

    def _launch(self, name: str, command: list[str], folder: Path, lock: int) -> None:
        with (folder / kafka_server.CONSOLE).open("wb") as console:
            self._servers[name] = subprocess.Popen(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                pass_fds=(lock,),
                preexec_fn=partial(_die_with, os.getpid()) if sys.platform == "linux" else None,
            )

    def _wait_for(self, name: str, port: int) -> None:
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not self._stopping:
            if self._servers[name].poll() is not None:
                raise ServiceError(self._obituary(name))
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise ServiceError(
                        f"{name} is not ready after {READY_TIMEOUT_S} s: see {self._log(name)}"
                    ) from None
            self._listen(0.05)

    def _listen(self, seconds: float) -> None:
        if not select.select([0], [], [], seconds)[0]:
            return
        heard = os.read(0, 100)
        if not heard or STOP in heard:
            self._stopping = True
        elif KEEP in heard and self._kept is None:
            # With a writer of our own the FIFO never ends.
            self._kept = os.open(self._home.lifeline, os.O_WRONLY)

    def _watch(self) -> None:
        for name, server in self._servers.items():
            if server.poll() is not None and self._state and self._state.phase == "ready":
                self._say("broken", self._obituary(name))

    def _obituary(self, name: str) -> str:
        status = self._servers[name].returncode
        cause = f"killed by signal {-status}" if status < 0 else f"exit status {status}"
        return f"{name} has ended ({cause}): see {self._log(name)}"

    def _log(self, name: str) -> Path:
        """Where to read on: a server that failed before it had a log has written to its console."""
        folder, file = {
            "kafka": (self._home.kafka, kafka_server.LOG),
            "redis": (self._home.redis, redis_server.LOG),
        }[name]
        console = folder / kafka_server.CONSOLE
        return console if console.stat().st_size else folder / file

    def _say(self, phase: Phase, message: str = "") -> None:
        if self._state is None:
            return
        pids = {name: server.pid for name, server in self._servers.items()}
        self._state = replace(self._state, phase=phase, message=message, pids=pids)
        self._state.write(self._home.state)

    def _stop_servers(self) -> None:
        for server in self._servers.values():
            server.terminate()
        deadline = time.monotonic() + STOP_TIMEOUT_S
        for server in self._servers.values():
            try:
                server.wait(max(deadline - time.monotonic(), 0))
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def free_ports(wanted: tuple[int, ...]) -> list[int]:
    """A free port for each wanted one: that one if it is free, so that addresses survive a restart."""
    with ExitStack() as held:
        # All are held until all are chosen, else one could be chosen twice.
        return [held.enter_context(_hold(port)).getsockname()[1] for port in wanted]


def _hold(port: int) -> socket.socket:
    for choice in (port, 0):
        holder = socket.socket()
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            holder.bind(("127.0.0.1", choice))
            return holder
        except OSError:
            holder.close()
    raise ServiceError("this machine has no free port left")


def _die_with(keeper: int) -> None:
    """Linux kills this process when the keeper dies, be it by kill -9."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != keeper:
        os._exit(1)  # it died before that was arranged


def main() -> None:
    """Runs the keeper of the home in the first argument, as nobody's child: no starter has to bury it."""
    if os.fork():
        os._exit(0)
    plan = Home(Path(sys.argv[1])).plan.read_text(encoding="utf-8")
    Keeper(Plan(**json.loads(plan))).run()
