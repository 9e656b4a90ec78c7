"""What runs a network. Engines are entry points of the group `streamer.engines`.

An entry point is a function (file: OnnxFile, spec: InputSpec, threads: int) -> Engine. It imports its library on
use, and raises ModelError where it can't run the file. Its module may have a function `check()` that raises
UsageError where the library is missing.
"""

import sys
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from engines.onnx_file import OnnxFile
from streamer.errors import ModelError, UsageError

GROUP = "streamer.engines"


@dataclass(frozen=True, slots=True)
class InputSpec:
    """What goes into the network: (pictures, 3, height, width), or bytes as (pictures, height, width, 3).

    batch: the most pictures per inference.
    fixed_batch: whether it must be exactly so many.
    dtype: float32 or float16; uint8 where the engine takes bytes, see ByteEngine.
    undecided: whether neither file nor settings say how many, so that an engine which is faster with more takes more.
    """

    width: int
    height: int
    batch: int
    fixed_batch: bool
    dtype: np.dtype[Any]
    undecided: bool = False

    def shape(self, pictures: int) -> tuple[int, int, int, int]:
        """Shape of a batch."""
        if self.dtype == np.uint8:
            return pictures, self.height, self.width, 3
        return pictures, 3, self.height, self.width


class Engine(Protocol):
    """A loaded network. Belongs to one thread."""

    name: str
    version: str
    input: InputSpec

    def infer(self, batch: NDArray[Any]) -> list[NDArray[Any]]:
        """All outputs for a batch, which is contiguous and as `input` says.

        The arrays belong to the engine and are valid until the next call.

        Raises:
            ModelError: the network can't be run on it.
        """

    def close(self) -> None:
        """Lets memory go; the engine is of no use afterwards."""


@runtime_checkable
class CutEngine(Protocol):
    """An engine that may have left out the end of its file.

    head: what reads the outputs that are there then; None: nothing was left out.
    """

    head: str | None


@runtime_checkable
class ByteEngine(Protocol):
    """An engine that makes floats of a picture's bytes itself, in less time than the letterbox does."""

    def take_bytes(self, factor: float) -> None:
        """From now on, if it can, it wants uint8 batches, each of whose values it multiplies by `factor`.

        `input` says whether it does.

        Raises:
            ModelError: the network can't be made to take them; it is what it was.
        """


def open_engine(name: str, file: OnnxFile, spec: InputSpec, threads: int) -> Engine:
    """The engine of that name with the file loaded.

    Raises:
        UsageError: there is no such engine here.
        ModelError: it can't run the file.
    """
    engine: Engine = _entry(name).load()(file, spec, threads)
    return engine


def check_engine(name: str) -> None:
    """Looks for the engine of that name and for its library, without opening anything.

    Raises:
        UsageError: there is no such engine here.
    """
    entry = _entry(name)
    entry.load()
    check = getattr(sys.modules[entry.module], "check", None)
    if check is not None:
        check()


def _entry(name: str) -> EntryPoint:
    found = {entry.name: entry for entry in entry_points(group=GROUP)}
    if name not in found:
        raise UsageError(f"no engine is called {name!r}; installed are: {', '.join(sorted(found))}")
    return found[name]


def refusal(file: OnnxFile, engine: str, reason: object) -> ModelError:
    """The error of an engine that can't run a file: the likely cause first, else the engine's own words."""
    if file.foreign_operators:
        names = ", ".join(file.foreign_operators[:3])
        return ModelError(f"{file.path}: it uses operators that {engine} doesn't have ({names}); export without them")
    words = " ".join(str(reason).split())[:300]
    return ModelError(f"{file.path}: {engine} can't run it, the file is damaged or made for something newer: {words}")
