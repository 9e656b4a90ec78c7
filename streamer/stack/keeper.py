"""The keeper: a small process that starts Kafka and Redis, watches them, and takes them down.

It lives in a session of its own, so Ctrl-C in a terminal does not reach it. What it hears comes over a FIFO on
its standard input, the lifeline. Each process that the stack shall not outlive holds the FIFO open; the kernel
tells the keeper when the last of them is gone, however it went (kill -9 too). A byte K means: stay without
anybody. A byte S means: stop.

The alive lock is inherited by both servers: it is free only when everything of this stack is gone.
"""

import fcntl
import os
import select
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import FrameType

from streamer.errors import ServiceError, StreamerError
from streamer.lifecycle import Deadline
from streamer.stack import kafka_server, redis_server
from streamer.stack.home import Home
from streamer.stack.ports import free_ports
from streamer.stack.process import CONSOLE, launch, stop
from streamer.stack.state import Phase, Plan, State, read_plan

KEEP, STOP = b"K", b"S"
READY_TIMEOUT_S = 60
STOP_TIMEOUT_S = 10
LOCK_TIMEOUT_S = STOP_TIMEOUT_S + 5
TICK_S = 0.2


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
        deadline = Deadline(LOCK_TIMEOUT_S)
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return lock
            except BlockingIOError:
                if deadline.passed:
                    raise SystemExit(f"servers of an earlier stack still run in {self._home.root}") from None
                time.sleep(0.02)

    def _start(self, lock: int) -> None:
        kafka_port, controller_port, redis_port = free_ports(self._plan.ports)
        self._state = State("starting", kafka_port, controller_port, redis_port, time.time())
        self._say("starting")
        redis_server.write_files(self._home.redis, redis_port)
        self._servers["redis"] = launch([self._plan.redis, "redis.conf"], self._home.redis, (lock,))
        java, jars = Path(self._plan.java), [Path(jar) for jar in self._plan.jars]
        kafka_server.write_files(self._home.kafka, kafka_server.properties(kafka_port, controller_port))
        kafka_server.format_storage(self._home.kafka, java, jars)
        command = kafka_server.java_command(java, jars, self._plan.heap_mb, "kafka.Kafka")
        self._servers["kafka"] = launch([*command, "server.properties"], self._home.kafka, (lock,))
        for name, port in (("redis", redis_port), ("kafka", kafka_port)):
            self._wait_for(name, port)
        if not self._stopping:
            self._say("ready")

    def _wait_for(self, name: str, port: int) -> None:
        deadline = Deadline(READY_TIMEOUT_S)
        while not self._stopping:
            if self._servers[name].poll() is not None:
                raise ServiceError(self._obituary(name))
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            except OSError:
                if deadline.passed:
                    late = f"{name} is not ready after {READY_TIMEOUT_S} s: see {self._log(name)}"
                    raise ServiceError(late) from None
            self._listen(0.05)

    def _listen(self, seconds: float) -> None:
        """Waits for a word on the lifeline, or for its end."""
        if self._stopping or not select.select([0], [], [], seconds)[0]:
            return
        heard = self._hear()
        if heard is None:
            self._leave_unless_joined()
        elif STOP in heard:
            self._stopping = True
        elif KEEP in heard and self._kept is None:
            # With a writer of our own the FIFO never ends.
            self._kept = os.open(self._home.lifeline, os.O_WRONLY)

    def _hear(self) -> bytes | None:
        """What was said; None if nobody holds the lifeline."""
        try:
            return os.read(0, 100) or None
        except BlockingIOError:
            return b""  # all had left, and somebody came since

    def _leave_unless_joined(self) -> None:
        """Whoever joins holds the starter's lock meanwhile; under it nobody can come between look and leap."""
        with self._home.starting.open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(0.02)
                return
            if self._hear() is None:
                os.close(0)  # from now on the stack counts as stopped
                self._stopping = True

    def _watch(self) -> None:
        for name, server in self._servers.items():
            if server.poll() is not None and self._state and self._state.phase == "ready":
                self._say("broken", self._obituary(name))

    def _obituary(self, name: str) -> str:
        status = self._servers[name].returncode
        cause = f"killed by signal {-status}" if status < 0 else f"exit status {status}"
        return f"{name} has ended ({cause}): see {self._log(name)}"

    def _log(self, name: str) -> Path:
        """Where its last words are: in its log, or on its console if it failed before it had one."""
        folder, file = {
            "kafka": (self._home.kafka, kafka_server.LOG),
            "redis": (self._home.redis, redis_server.LOG),
        }[name]
        written = [path for path in (folder / file, folder / CONSOLE) if path.exists()]
        return max(written, key=lambda path: path.stat().st_mtime)

    def _say(self, phase: Phase, message: str = "") -> None:
        if self._state is None:
            return
        pids = {name: server.pid for name, server in self._servers.items()}
        self._state = replace(self._state, phase=phase, message=message, pids=pids)
        self._state.write(self._home.state)

    def _stop_servers(self) -> None:
        for server in self._servers.values():
            server.terminate()
        deadline = Deadline(STOP_TIMEOUT_S)
        for server in self._servers.values():
            stop(server, deadline.remaining())


def main() -> None:
    """Runs the keeper of the home in the first argument, as nobody's child: no starter has to bury it."""
    if os.fork():
        os._exit(0)
    Keeper(read_plan(Home(Path(sys.argv[1])).plan)).run()
