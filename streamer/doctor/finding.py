"""What a check says."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """One line: `ok` as it must be, `note` could be better or may matter, `bad` something must be changed."""

    level: Literal["ok", "note", "bad"]
    text: str


def ok(text: str) -> Finding:
    """As it must be."""
    return Finding("ok", text)


def note(text: str) -> Finding:
    """Works, but the user should know."""
    return Finding("note", text)


def bad(text: str) -> Finding:
    """Must be changed; the text says how."""
    return Finding("bad", text)
