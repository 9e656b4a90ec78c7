"""What a starter tells the keeper, and what the keeper tells all: two files."""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

Phase = Literal["starting", "ready", "broken"]


@dataclass(frozen=True)
class Plan:
    """What the starter has found out for the keeper."""

    home: str
    java: str
    jars: list[str]
    redis: str
    heap_mb: int
    ports: tuple[int, int, int]  # of Kafka, its controller, Redis; 0: any

    def write(self, file: Path) -> None:
        """Into a file for read_plan."""
        file.write_text(json.dumps(asdict(self)), encoding="utf-8")


@dataclass(frozen=True)
class State:
    """The keeper's word. Only worth something while the keeper lives: the lifeline tells."""

    phase: Phase
    kafka_port: int
    controller_port: int
    redis_port: int
    started: float  # seconds since 1970
    message: str = ""  # what broke, and which log to read
    pids: dict[str, int] = field(default_factory=dict)

    def write(self, file: Path) -> None:
        """Replaces the file as a whole: a reader sees the old state or the new one."""
        part = file.with_suffix(".part")
        part.write_text(json.dumps(asdict(self)), encoding="utf-8")
        os.replace(part, file)


def read_plan(file: Path) -> Plan:
    """The plan; the starter has just written it."""
    return Plan(**json.loads(file.read_text(encoding="utf-8")))


def read_state(file: Path) -> State | None:
    """The state, or None if there is none or it was written by another version."""
    try:
        return State(**json.loads(file.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError, RecursionError):
        return None
