"""Starting, finding and stopping the one-machine stack."""

import errno
import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from streamer.errors import ServiceError
from streamer.lifecycle import Deadline
from streamer.stack.home import Home, home_of
from streamer.stack.jars import kafka_jars
from streamer.stack.java import find_java
from streamer.stack.keeper import KEEP, READY_TIMEOUT_S, STOP, STOP_TIMEOUT_S
from streamer.stack.redis_server import find_redis
from streamer.stack.state import Plan, State, read_state

if TYPE_CHECKING:
    from streamer.settings import Settings, StackSettings

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Addresses:
    """Where a running stack listens."""

    kafka: str  # host:port
    redis: str  # redis://host:port/0


@dataclass(frozen=True)
class Status:
    """What is known of the stack now."""

    phase: Literal["stopped", "starting", "ready", "broken"]
    addresses: Addresses | None = None
    message: str = ""
    started: float | None = None  # seconds since 1970
    pids: tuple[tuple[str, int], ...] = ()


def _silent(_: str) -> None:
    pass


class Stack:
    """The stack in one home folder, whoever started it."""

    def __init__(self, settings: "StackSettings") -> None:
        self._settings = settings
        self._home = home_of(settings.home)
        self._lifeline: int | None = None

    @property
    def home(self) -> Home:
        """Its files."""
        return self._home

    def start(self, lifeline: bool, progress: Progress = _silent) -> Addresses:
        """Starts Kafka and Redis, or joins those that run; returns when both answer.

        lifeline: True: the stack ends with the last process that started it so, however that process ends.
            False: it stays until stop().

        Raises:
            ServiceError: something can't be fetched or started; UsageError: a package is missing.
        """
        try:
            writer, state = self._join_or_spawn(lifeline, progress)
        except OSError as error:
            raise ServiceError(f"the stack in {self._home.root} can't be started: {error}") from None
        # The old end goes after the new one is there: never nobody.
        self.release()
        self._lifeline = writer
        if not lifeline:
            self.release()
        return _addresses(state)

    def _join_or_spawn(self, lifeline: bool, progress: Progress) -> tuple[int, State]:
        self._home.create()
        with self._only_starter(progress):
            if self.status().phase == "broken":
                progress("restarting what is broken")
                self.stop()
            writer = self._open_lifeline()
            if writer is None:
                writer = self._spawn(progress)
            try:
                state = self._wait_until_ready()
                if not lifeline:
                    os.write(writer, KEEP)
            except BaseException:
                os.close(writer)
                raise
        return writer, state

    def release(self) -> None:
        """Lets go of the lifeline: the stack ends if nobody else holds on to it and nobody told it to stay."""
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None

    def fetch(self, progress: Progress = _silent) -> None:
        """Gets everything that start() needs, so that start() needs no network.

        Raises:
            ServiceError: something can't be fetched; UsageError: a package is missing.
        """
        self._plan(progress)

    def stop(self) -> bool:
        """Stops both servers and waits until nothing is left; False if nothing ran.

        Raises:
            ServiceError: it does not end in time.
        """
        self.release()
        writer = self._open_lifeline()
        if writer is None and self._all_gone():
            return False
        if writer is not None:
            with suppress(BrokenPipeError):  # it is ending already
                os.write(writer, STOP)
            os.close(writer)
        deadline = Deadline(STOP_TIMEOUT_S + 5)
        while self._keeper_lives() or not self._all_gone():
            if deadline.passed:
                raise ServiceError(f"the stack in {self._home.root} does not end: see {self._home.keeper_log}")
            time.sleep(0.02)
        return True

    def delete_data(self) -> None:
        """Deletes what Kafka holds. Only when stopped.

        Raises:
            ServiceError: it runs.
        """
        with self._only_starter(_silent) if self._home.root.exists() else nullcontext():
            if not self._all_gone():
                raise ServiceError("the stack runs: stop it first with `streamer down`")
            shutil.rmtree(self._home.kafka, ignore_errors=True)

    def status(self) -> Status:
        """What runs now, without waiting."""
        writer = self._open_lifeline()
        if writer is None:
            return Status("stopped")
        os.close(writer)
        state = read_state(self._home.state)
        if state is None:
            return Status("starting")
        return Status(state.phase, _addresses(state), state.message, state.started, tuple(state.pids.items()))

    def _spawn(self, progress: Progress) -> int:
        """Starts the keeper; returns our end of its lifeline."""
        self._plan(progress).write(self._home.plan)
        for file in (self._home.lifeline, self._home.state):
            file.unlink(missing_ok=True)
        os.mkfifo(self._home.lifeline, 0o600)
        reader = os.open(self._home.lifeline, os.O_RDONLY | os.O_NONBLOCK)
        writer = os.open(self._home.lifeline, os.O_WRONLY)
        progress("starting Kafka and Redis")
        with self._home.keeper_log.open("wb") as log:
            # It leaves at once and goes on as nobody's child.
            subprocess.run(
                [sys.executable, "-P", "-m", "streamer.stack", str(self._home.root)],
                stdin=reader,
                stdout=log,
                stderr=log,
                cwd=self._home.root,
                start_new_session=True,
                check=False,
            )
        os.close(reader)
        return writer

    def _plan(self, progress: Progress) -> Plan:
        old = read_state(self._home.state)
        return Plan(
            home=str(self._home.root),
            java=str(find_java()),
            jars=[str(jar) for jar in kafka_jars(self._settings.maven_repository, progress)],
            redis=str(find_redis()),
            heap_mb=self._settings.kafka_heap_mb,
            ports=(old.kafka_port, old.controller_port, old.redis_port) if old else (0, 0, 0),
        )

    def _wait_until_ready(self) -> State:
        deadline = Deadline(READY_TIMEOUT_S + 15)
        while not deadline.passed:
            state = read_state(self._home.state)
            if state and state.phase == "ready":
                return state
            if state and state.phase == "broken":
                raise ServiceError(state.message)
            if not self._keeper_lives():
                raise ServiceError(f"the stack could not be started: {self._last_words()}")
            time.sleep(0.02)
        raise ServiceError(f"the stack does not get ready: see {self._home.keeper_log}")

    def _last_words(self) -> str:
        words = self._home.keeper_log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return words[-1] if words else f"see {self._home.keeper_log}"

    def _open_lifeline(self) -> int | None:
        """A writing end of the keeper's FIFO; None if no keeper reads it."""
        try:
            return os.open(self._home.lifeline, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno in (errno.ENXIO, errno.ENOENT):
                return None
            raise ServiceError(f"can't use {self._home.lifeline}: {error.strerror}") from None

    def _keeper_lives(self) -> bool:
        writer = self._open_lifeline()
        if writer is None:
            return False
        os.close(writer)
        return True

    def _all_gone(self) -> bool:
        try:
            lock = os.open(self._home.alive, os.O_RDWR)
        except FileNotFoundError:
            return True
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(lock)
        return True

    @contextmanager
    def _only_starter(self, progress: Progress) -> Iterator[None]:
        with self._home.starting.open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                progress("waiting for another process that starts Kafka and Redis")
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _addresses(state: State) -> Addresses:
    return Addresses(f"127.0.0.1:{state.kafka_port}", f"redis://127.0.0.1:{state.redis_port}/0")


def with_stack_addresses(settings: "Settings") -> "Settings":
    """`settings` with the running stack's addresses where they name none; unchanged if nothing runs."""
    if settings.kafka.bootstrap_servers and settings.redis.url:
        return settings
    addresses = Stack(settings.stack).status().addresses
    if addresses is None:
        return settings
    kafka, redis = settings.kafka, settings.redis
    if not kafka.bootstrap_servers:
        kafka = kafka.model_copy(update={"bootstrap_servers": addresses.kafka})
    if not redis.url:
        redis = redis.model_copy(update={"url": addresses.redis})
    return settings.model_copy(update={"kafka": kafka, "redis": redis})
