"""The TensorRT that is installed. Nothing else imports it.

Versions 10 and 11 have the same calls as far as we use them; TensorRT-RTX has them too, and builds on machines
without a GPU, so the tests build with that.
"""

import ctypes
import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

from engines.tensorrt.errors import DeviceError, device_error, missing

# The package itself, and what is inside of it: some machines have that with libraries of their own.
MODULES = ("tensorrt", "tensorrt_bindings")
_KEPT = 8

_log = logging.getLogger("engines.tensorrt")


@dataclass(frozen=True, slots=True)
class Library:
    """trt: the module. log: an `ILogger` whose `last` is its newest error, and `errors` the last few."""

    trt: Any
    log: Any

    @property
    def name(self) -> str:
        """Which TensorRT: plans of one can't be loaded by another."""
        return "tensorrt_rtx" if "rtx" in self.trt.__name__ else "tensorrt"

    @property
    def version(self) -> str:
        """As in "10.15.1.29"."""
        return str(self.trt.__version__)

    @property
    def major(self) -> str:
        """What version-compatible plans are tied to."""
        return self.version.partition(".")[0]

    def builder(self) -> Any:
        """A new Builder.

        Raises:
            DeviceError: there is no GPU, or no driver for it.
        """
        try:
            return self.trt.Builder(self.log)
        except TypeError:  # all that the bindings say when the library gives them nothing
            raise self.failure("starting TensorRT") from None

    def runtime(self) -> Any:
        """A new Runtime, for the device whose context is current.

        Raises:
            DeviceError: there is no GPU, or no driver for it.
        """
        self.log.errors.clear()
        runtime = self.trt.Runtime(self.log)
        if self.log.errors:
            # One that couldn't start is hollow: neither using nor destroying it would be survived (seen with 10.15).
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(runtime))
            raise device_error("starting TensorRT", "; ".join(self.log.errors))
        return runtime

    def failure(self, doing: str) -> DeviceError:
        """The error of a call that TensorRT answered with nothing; why is in its log only."""
        return device_error(doing, self.log.last or "TensorRT gives no reason")


def is_newer(version: str, other: str) -> bool:
    """Whether one version, as in "10.15.1.29", is newer than another: older TensorRT loads no newer one's plans."""
    return _numbers(version) > _numbers(other)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


@cache
def open_library(modules: Sequence[str] = MODULES) -> Library:
    """The first of these modules that can be imported; the same object each time.

    Raises:
        UsageError: there is none.
    """
    for name in modules:
        try:
            trt = import_module(name)
        except (ImportError, OSError):
            continue
        return Library(trt, _make_log(trt))
    raise missing("tensorrt")


def _make_log(trt: Any) -> Any:
    severity = trt.ILogger.Severity
    levels = {severity.VERBOSE: 0, severity.INFO: logging.DEBUG}

    class Log(trt.ILogger):  # type: ignore[misc]
        """TensorRT's words into our log. Called from its threads, and must not raise."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: deque[str] = deque(maxlen=_KEPT)

        @property
        def last(self) -> str:
            """The newest error; nothing if there was none."""
            return self.errors[-1] if self.errors else ""

        def log(self, severity_of_it: Any, message: str) -> None:
            """See `ILogger`."""
            if severity_of_it in (severity.ERROR, severity.INTERNAL_ERROR):
                self.errors.append(message)
            level = levels.get(severity_of_it, logging.INFO)
            if level:
                _log.log(level, "TensorRT: %s", message)

    return Log()
