"""What the keeper of a running stack says of itself, in a file that others read."""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

Phase = Literal["starting", "ready", "broken"]


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


def read_state(file: Path) -> State | None:
    """The state, or None if there is none or it was written by another version."""
    try:
        return State(**json.loads(file.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return None
