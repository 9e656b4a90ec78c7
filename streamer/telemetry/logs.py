"""Logs on stderr, for people (console) or for programs (one JSON object a line). No line shows a credential.

Modules log with the standard library; what belongs to a message goes into its `extra` fields:
`log.info("opened", extra={"stream": "gate"})`.
"""

import logging
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

import orjson

from streamer.addresses import mask
from streamer.records.frame import rfc3339
from streamer.settings import TelemetrySettings

log = logging.getLogger(__name__)

# What a log record holds besides the `extra` fields of its call.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
# Libraries, and the least level at which they have something for an operator: at INFO they report every attempt
# of every connection, and the selector warns of each piece of work that took long.
_LEAST = {"kafka": logging.WARNING, "libav": logging.WARNING, "kafka.net.selector": logging.ERROR}
_CHATTY = ("kafka", "libav")
REPEAT_S = 10.0


def configure_logging(telemetry: TelemetrySettings) -> None:
    """Sends this process's logs, warnings and uncaught exceptions to stderr. May be called again."""
    handler = _Stderr()
    handler.setFormatter(_Json() if telemetry.log_format == "json" else _Console())
    handler.addFilter(_is_news)
    handler.addFilter(_Repeats(_CHATTY, REPEAT_S))
    root = logging.getLogger()
    for earlier in [h for h in root.handlers if isinstance(h, _Stderr)]:
        root.removeHandler(earlier)
    root.addHandler(handler)
    root.setLevel(telemetry.log_level)
    for name, least in _LEAST.items():
        logging.getLogger(name).setLevel(root.level if root.level <= logging.DEBUG else max(least, root.level))
    logging.captureWarnings(True)
    # Python would print these itself, with the credentials in an exception's text.
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread


class _Stderr(logging.StreamHandler[Any]):
    """Of a type of its own so that a second configure_logging finds and replaces it."""


class _Console(logging.Formatter):
    """`12:00:00.123 INFO  producers.runner: opened stream=gate`."""

    def format(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%H:%M:%S", time.localtime(record.created)) + f".{int(record.msecs):03d}"
        line = f"{moment} {record.levelname:<7} {record.name}: {_one_line(record.getMessage())}"
        line += "".join(f" {key}={_one_line(str(value))}" for key, value in _fields(record).items())
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return mask(line)


class _Json(logging.Formatter):
    """One object a line: time, level, logger, message, the extra fields, and exception if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        line = _fields(record) | {
            "time": rfc3339(int(record.created * 1000)),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        masked = {key: _plain(value) for key, value in line.items()}
        return orjson.dumps(masked, option=orjson.OPT_SERIALIZE_NUMPY).decode()


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


def _plain(value: object) -> object:
    """As JSON can hold it; text without credentials."""
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else str(value)
    # A lone surrogate (a file name that is no UTF-8) can't be encoded.
    return mask(str(value)).encode(errors="backslashreplace").decode()


def _one_line(text: str) -> str:
    """A line break in what a camera says must not look like a line of ours."""
    return text.replace("\r", "\\r").replace("\n", "\\n")


def _is_news(record: logging.LogRecord) -> bool:
    """Not what kafka-python (3.0.12) calls an error when a client that is closed was just asking for metadata."""
    return not (record.name == "kafka.cluster" and "Cancelled" in map(str, record.args or ()))


class _Repeats(logging.Filter):
    """Of messages that a library repeats (one a second and broker in an outage), shows one per `interval_s`.

    The next one shown says how many were left out.
    """

    def __init__(
        self, loggers: tuple[str, ...], interval_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self._loggers, self._interval_s, self._clock = loggers, interval_s, clock
        self._lock = threading.Lock()
        self._shown: dict[tuple[str, str, int], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.partition(".")[0] not in self._loggers or record.levelno < logging.WARNING:
            return True
        # By place, not by text: the texts differ in connection numbers and ports.
        place, now = (record.name, record.pathname, record.lineno), self._clock()
        with self._lock:
            since, left_out = self._shown.get(place, (float("-inf"), 0))
            if now - since < self._interval_s:
                self._shown[place] = (since, left_out + 1)
                return False
            self._shown[place] = (now, 0)
        if left_out:
            record.more_like_this = left_out
        return True


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    log.critical("the process ends: %s", error, exc_info=(kind, error, trace))


def _uncaught_in_thread(died: threading.ExceptHookArgs) -> None:
    if died.exc_type is SystemExit:
        return
    name = died.thread.name if died.thread else "?"
    error = died.exc_value or died.exc_type()
    log.critical("thread %s died: %s", name, error, exc_info=(died.exc_type, error, died.exc_traceback))
