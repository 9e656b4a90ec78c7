"""Children: they inherit the settings, are stopped in order, and never outlive their parent."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from streamer.children import Child, Children, environment_of
from streamer.settings import Settings, load

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)


@hypothesis_settings(max_examples=40, deadline=None)
@given(
    classes=st.lists(texts, max_size=3),
    per_class=st.dictionaries(texts, st.floats(0, 1), max_size=3),
    password=texts,
    port=st.integers(-1, 65535),
)
def test_settings_come_back_from_the_environment(
    classes: list[str], per_class: dict[str, float], password: str, port: int
) -> None:
    settings = Settings.model_validate(
        {
            "kafka": {"bootstrap_servers": "a:1,b:2", "sasl_password": password, "ssl_cafile": "/ca.pem"},
            "detect": {"classes": classes, "class_confidence": per_class, "agnostic_nms": True},
            "telemetry": {"port": port},
        }
    )
    assert load(environ=environment_of(settings, {})) == settings


def test_a_settings_file_here_and_older_variables_do_not_reach_a_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("streamer.toml").write_text('[kafka]\nssl_cafile = "/other.pem"\n')
    environ = {"STREAMER_KAFKA__SSL_CERTFILE": "/mine.pem", "CAMERA_PASSWORD": "x"}
    handed_on = environment_of(Settings(), environ)
    assert load(environ=handed_on) == Settings()
    assert handed_on["CAMERA_PASSWORD"] == "x"


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def wait_until(condition: object, timeout_s: float = 30) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "not within the time"
        time.sleep(0.02)


def test_a_child_that_dies_early_leaves_its_last_lines() -> None:
    child = Child("worker", ["results", "tail", "--since", "yesterday"], environment_of(Settings()))
    with Children(child) as children:
        wait_until(children.ended)
        assert [(ended.name, status) for ended, status in children.ended()] == [("worker", 2)]
        wait_until(lambda: child.last_lines)
    assert child.last_lines[-1].startswith("streamer results: 'yesterday' is no time")


# A command that waits for ever, as `python -m streamer.child` would run one of ours.
PATIENT = """
import sys, types, time, streamer.__main__
def main(words):
    print("waiting", flush=True)
    try:
        time.sleep(600)
    finally:
        print("stopped", flush=True)
streamer.__main__.main = main
import signal
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
from streamer.child import main
sys.exit(main())
"""
PARENT = f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", {PATIENT!r}], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    start_new_session=True)
child.stdout.readline()
print(child.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_child_goes_with_its_parent(number: int) -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert alive(pid)
        os.kill(parent.pid, number)
    wait_until(lambda: not alive(pid))
