"""What is read, from which samples, and which errors may come of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from streamer.errors import StreamerError
from tests.fuzz.limits import Ear, bounded, check_message


@dataclass(frozen=True)
class Target:
    """Something that reads bytes from outside.

    given: what it is given. read: reads it, and asserts what must hold of what comes out. errors: what it documents.
    found: what it failed at once. examples: how many are tried in a test run.
    """

    name: str
    given: st.SearchStrategy[Any]
    read: Callable[[Any], object]
    errors: tuple[type[Exception], ...] = (StreamerError,)
    found: Sequence[Any] = ()
    examples: int = 60

    def check(self, example: Any, ear: Ear) -> None:
        """One example: read within bounds, or refused by a documented error in one line, and no secret said."""
        ear.said.clear()
        try:
            with bounded():
                self.read(example)
        except self.errors as error:
            check_message(error)
        ear.check()
