"""The README's session, typed as it stands, in an empty folder with a clip and a model in it."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clips import write_grey_clip
from tests.integration.worker_rig import make_model

README = Path(__file__).parents[2] / "README.md"
_SESSION = re.compile(r"<!-- session -->\n```sh\n(.*?)```", re.DOTALL)
FRAMES = 50


class Shell:
    """A folder, an environment with a stack of its own, and the jobs that were started with `&`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        home = folder / "stack"
        bin_folder = Path(sys.executable).parent
        path = f"{bin_folder}:{os.environ['PATH']}"
        given = {name: value for name, value in os.environ.items() if not name.startswith("STREAMER_")}
        self._environment = {**given, "PATH": path, "STREAMER_STACK__HOME": str(home)}
        self.jobs: list[subprocess.Popen[str]] = []

    def type(self, line: str) -> str:
        """Runs a line; what it printed."""
        if line.endswith("&"):
            self.jobs.append(self._start(line.rstrip("& ")))
            return ""
        if line.startswith("kill"):
            return self.kill()
        if line == "streamer results tail":
            return self._tail(line)
        done = subprocess.run(
            shlex.split(line), cwd=self._folder, env=self._environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"
        return done.stdout

    def _start(self, line: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            shlex.split(line), cwd=self._folder, env=self._environment, stdout=subprocess.PIPE, text=True
        )

    def _tail(self, line: str) -> str:
        """Watches until the clip is over, then Ctrl-C."""
        seen = ""
        with self._start(line) as tail:
            assert tail.stdout is not None
            for printed in tail.stdout:
                seen += printed
                if "end" in printed:
                    break
            tail.send_signal(signal.SIGINT)
            tail.stdout.read()
            assert tail.wait(10) in (0, 130)
        return seen

    def kill(self) -> str:
        """Stops the jobs as `kill` does; they must end well."""
        for job in self.jobs:
            job.terminate()
        statuses = [job.communicate(timeout=20) and job.returncode for job in self.jobs]
        self.jobs = []
        assert statuses == [0] * len(statuses)
        return ""


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    make_model(tmp_path / "model.onnx")
    write_grey_clip(tmp_path / "clip.mp4", FRAMES)
    shell = Shell(tmp_path)
    yield shell
    for job in shell.jobs:
        job.kill()
        job.communicate()
    shell.type("streamer down")


@pytest.mark.timeout(120)
def test_the_session_of_the_readme(shell: Shell, tmp_path: Path) -> None:
    [block] = _SESSION.findall(README.read_text(encoding="utf-8"))
    lines = block.splitlines()
    said = {line: shell.type(line) for line in lines}
    assert "yard" in said["streamer results tail"]
    assert "yard" in said["streamer results latest"]
    records = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert [record["kind"] for record in records] == ["frame"] * FRAMES + ["end"]
    assert _nothing_is_left(tmp_path)


def _nothing_is_left(folder: Path, timeout_s: float = 10) -> bool:
    """Whether no process has the folder on its command line."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        lines = [_command_line(entry) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
        if not any(str(folder) in line for line in lines):
            return True
        time.sleep(0.1)
    return False


def _command_line(process: Path) -> str:
    try:
        return (process / "cmdline").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""  # it has just ended
