"""Logs: their two forms, no credential in any, libraries kept quiet."""

import json
import logging
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator

import pytest
from kafka.errors import Cancelled, NodeNotReadyError

from streamer.settings import TelemetrySettings
from streamer.telemetry import logs
from streamer.telemetry.logs import configure_logging


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Logging is one per process: as it was, for the other tests."""
    loggers = [logging.getLogger(name) for name in ("", "kafka", "libav", "kafka.net.selector")]
    handlers, levels, hooks = loggers[0].handlers[:], [x.level for x in loggers], (sys.excepthook, threading.excepthook)
    yield
    logging.captureWarnings(False)
    loggers[0].handlers[:] = handlers
    sys.excepthook, threading.excepthook = hooks
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


def test_console_line_has_level_logger_message_and_fields(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(TelemetrySettings())
    logging.getLogger("producers.runner").info("opened %s", "it", extra={"stream": "gate", "frames": 3})
    (line,) = lines(capsys)
    assert line.endswith("INFO    producers.runner: opened it stream=gate frames=3")


def test_json_line_is_one_object_with_the_fields(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(TelemetrySettings(log_format="json"))
    logging.getLogger("a").warning("two\nlines", extra={"stream": "gate", "age": 1.5, "huge": 2**70, "time": "no"})
    (line,) = lines(capsys)
    found = json.loads(line)
    assert found.pop("time").endswith("Z")
    assert found == {
        "level": "WARNING",
        "logger": "a",
        "message": "two\nlines",
        "stream": "gate",
        "age": 1.5,
        "huge": str(2**70),
    }


@pytest.mark.parametrize("form", ["console", "json"])
def test_no_line_shows_a_credential(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(TelemetrySettings.model_validate({"log_format": form}))
    try:
        raise OSError("rtsp://admin:hunter2@10.0.0.7/live timed out")
    except OSError:
        logging.getLogger("a").exception(
            "lost %s", "rtsp://admin:hunter2@cam/1", extra={"source": "http://h/x?token=hunter2"}
        )
    text = capsys.readouterr().err
    assert text.count("***") >= 3
    assert "Traceback" in text
    assert "hunter2" not in text


def test_a_line_break_in_a_message_makes_no_second_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(TelemetrySettings())
    logging.getLogger("a").info("camera says\nERROR all is lost", extra={"name_of_it": "x\r\ny"})
    assert len(lines(capsys)) == 1


def test_a_file_name_that_is_no_utf8_is_logged(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(TelemetrySettings(log_format="json"))
    logging.getLogger("a").info("opened", extra={"file": "caf\udce9.mp4"})
    assert json.loads(lines(capsys)[0])["file"] == "caf\\udce9.mp4"


def test_level_applies_and_configuring_twice_prints_once(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(TelemetrySettings())
    configure_logging(TelemetrySettings(log_level="WARNING"))
    logging.getLogger("a").info("not this")
    logging.getLogger("a").warning("this")
    assert [line.split(": ")[1] for line in lines(capsys)] == ["this"]


def test_a_client_that_is_closed_while_it_asks_for_metadata_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(TelemetrySettings())
    for error in (Cancelled(), NodeNotReadyError("1")):
        logging.getLogger("kafka.cluster").error("Metadata refresh: failed %s", error)
    (line,) = lines(capsys)
    assert "NodeNotReadyError" in line


def test_libraries_are_heard_from_warning_on_and_repeats_are_counted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(logs._Repeats.__init__, "__defaults__", (lambda: now,))
    configure_logging(TelemetrySettings())
    kafka, ours = logging.getLogger("kafka.conn"), logging.getLogger("producers.publisher")
    kafka.info("connecting")
    for moment in (0.0, 1.0, 2.0, 30.0):
        now = moment
        kafka.warning("no broker at port %d", moment)
        ours.warning("waiting")
    found = lines(capsys)
    assert sum("waiting" in line for line in found) == 4
    assert [line.split(": ")[1] for line in found if "kafka" in line] == [
        "no broker at port 0",
        "no broker at port 30 more_like_this=2",
    ]


@pytest.mark.parametrize(
    ("level", "logger", "number", "shown"),
    [
        ("INFO", "kafka.conn", logging.WARNING, True),
        ("INFO", "kafka.conn", logging.INFO, False),
        ("INFO", "kafka.net.selector", logging.WARNING, False),
        ("ERROR", "kafka.conn", logging.WARNING, False),
        ("DEBUG", "kafka.net.selector", logging.DEBUG, True),
    ],
)
def test_what_libraries_may_say(
    level: str, logger: str, number: int, shown: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging(TelemetrySettings.model_validate({"log_level": level}))
    logging.getLogger(logger).log(number, "said")
    assert bool(lines(capsys)) == shown


def test_warnings_and_threads_that_die_are_logged(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(TelemetrySettings())

    def die() -> None:
        raise ValueError("http://u:hunter2@h/ is gone")

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old thing", DeprecationWarning, stacklevel=1)
    thread = threading.Thread(target=die, name="reader")
    thread.start()
    thread.join()
    text = capsys.readouterr().err
    assert "old thing" in text
    assert "thread reader died: http://***@h/ is gone" in text
    assert "hunter2" not in text


def test_an_uncaught_exception_is_logged_without_the_password() -> None:
    code = (
        "from streamer.settings import TelemetrySettings\n"
        "from streamer.telemetry.logs import configure_logging\n"
        "configure_logging(TelemetrySettings(log_format='json'))\n"
        "raise OSError('rtsp://u:hunter2@h/ is gone')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert json.loads(done.stderr)["level"] == "CRITICAL"
    assert "rtsp://***@h/ is gone" in done.stderr
    assert "hunter2" not in done.stderr
