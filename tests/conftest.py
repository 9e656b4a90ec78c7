"""What tests share: a real Kafka and Redis, settings of their own per test, the shared material."""

import logging
import os
import signal
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings

from streamer.settings import Settings, load
from streamer.stack import Addresses, Stack
from streamer.topics_admin import create_topics, delete_topics

# The same examples in every run, and no limit by the clock: the machine may be busy. `make fuzz` tries others.
hypothesis_settings.register_profile("tests", derandomize=True, deadline=None, database=None)
hypothesis_settings.load_profile("tests")
SHARED = Path(__file__).resolve().parents[2] / "shared"

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As in the processes among which the tests are shared out. Children would inherit it, and not hear a Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def need(there: bool, what: str) -> None:
    """A machine without `what` skips the test; in CI that is a failure, or nobody would notice."""
    if there:
        return
    if os.environ.get("CI"):
        pytest.fail(f"{what} is missing")
    pytest.skip(f"{what} is missing")


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """A command run in this process sends logs and warnings to that test's stderr; the next test must not notice."""
    hooks, level = (sys.excepthook, threading.excepthook), logging.root.level
    yield
    sys.excepthook, threading.excepthook = hooks
    logging.captureWarnings(False)
    logging.root.setLevel(level)
    for handler in [h for h in logging.root.handlers if type(h).__module__.startswith("streamer.")]:
        logging.root.removeHandler(handler)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Addresses]:
    """Kafka and Redis of the one-machine stack, empty at the session's start and gone at its end."""
    folder = tmp_path_factory.mktemp("stack")
    stack = Stack(load(environ={}, overrides={"stack": {"home": folder}}).stack)
    yield stack.start(lifeline=True)
    stack.stop()


@pytest.fixture
def settings(stack: Addresses) -> Iterator[Settings]:
    """Settings with prefixes that no other test has, and their topics."""
    prefix = f"t{uuid.uuid4().hex[:8]}."
    settings = load(
        environ={},
        overrides={
            "kafka": {"bootstrap_servers": stack.kafka, "topic_prefix": prefix},
            "redis": {"url": stack.redis, "prefix": prefix},
            "topics": {"partitions": 4, "stream_partitions": 4},
        },
    )
    create_topics(settings)
    yield settings
    delete_topics(settings)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The real clips and models beside the checkout."""
    need((SHARED / "videos").is_dir(), f"shared material in {SHARED}")
    return SHARED
