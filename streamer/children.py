"""The parts of the service as children of one command: started, listened to, stopped; none outlives us."""

import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import orjson
from pydantic import BaseModel, SecretStr

from streamer.child import DRAIN_S
from streamer.lifecycle import Deadline
from streamer.settings import FILE_VARIABLE, PREFIX, Settings

LAST_LINES = 20


class Child:
    """One command in a process of its own; what it logs is kept line by line."""

    def __init__(self, name: str, words: Sequence[str], environment: Mapping[str, str]) -> None:
        self.name = name
        self._words, self._environment = list(words), dict(environment)
        self._process: subprocess.Popen[str] | None = None
        self._listener: threading.Thread | None = None
        self.last_lines: deque[str] = deque(maxlen=LAST_LINES)
        self.on_line: Callable[[str], None] = lambda line: None

    def start(self) -> None:
        """Starts it in a session of its own: Ctrl-C in the terminal reaches only us, and we stop it in order."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "streamer.child", *self._words],
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._listener = threading.Thread(target=self._listen, name=f"log of {self.name}", daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.last_lines.append(line.rstrip("\n"))
            self.on_line(self.last_lines[-1])

    @property
    def exit_status(self) -> int | None:
        """None while it runs; negative: the signal that ended it."""
        return self._process.poll() if self._process else None

    def ask_to_stop(self) -> None:
        """Lets it finish what it has begun."""
        if self._process and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def end(self, timeout_s: float) -> None:
        """Waits for its end; ends it by force after `timeout_s`."""
        if self._process is None:
            return
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._listener:
            self._listener.join()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()
        self._process = None


class Children:
    """Several of them; leaving the context stops all that still run."""

    def __init__(self, *children: Child) -> None:
        self._children = children

    def __enter__(self) -> Self:
        try:
            for child in self._children:
                child.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stops all, within one deadline."""
        deadline = Deadline(DRAIN_S)
        for child in self._children:
            child.ask_to_stop()
        for child in self._children:
            child.end(deadline.remaining())

    def ended(self) -> list[tuple[Child, int]]:
        """Those that no longer run, with their exit status."""
        return [(child, status) for child in self._children if (status := child.exit_status) is not None]


def environment_of(settings: Settings, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """`environ` with every setting in it, as `streamer.settings.load` reads them; secrets too, so never log it."""
    inherited = {key: value for key, value in environ.items() if not key.startswith(PREFIX)}
    # All values stand in the environment, which is stronger than a file; a file that has gone must not matter.
    handed_on = {FILE_VARIABLE: os.devnull}
    for section_name in Settings.model_fields:
        section: BaseModel = getattr(settings, section_name)
        for key in type(section).model_fields:
            text = _as_text(getattr(section, key))
            if text is not None:
                handed_on[f"{PREFIX}{section_name}__{key}".upper()] = text
    return inherited | handed_on


def _as_text(value: Any) -> str | None:
    match value:
        case None:
            return None
        case SecretStr():
            return value.get_secret_value()
        case Mapping():  # an inline table and an array of TOML; strings are written as in JSON
            return "{" + ", ".join(f"{_quoted(key)} = {_quoted(inner)}" for key, inner in value.items()) + "}"
        case tuple():
            return "[" + ", ".join(map(_quoted, value)) + "]"
        case _:
            return str(value)


def _quoted(value: object) -> str:
    return orjson.dumps(value).decode().replace("\x7f", "\\u007f")  # which TOML, other than JSON, wants escaped
