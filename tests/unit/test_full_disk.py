"""A disk that is full is one line, whatever was written to it. /dev/full is such a disk."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from streamer.commands.whole_file import disk_errors, whole_file
from streamer.errors import StreamerError

pytestmark = pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")


@pytest.mark.parametrize("words", [["config", "show"], ["--version"]])
def test_stdout(words: list[str]) -> None:
    command = [sys.executable, "-m", "streamer", *words]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    name = "streamer config" if "config" in words else "streamer"
    assert (done.returncode, done.stderr) == (1, f"{name}: can't write the output: No space left on device\n")


def test_stdout_that_is_closed_is_no_mistake() -> None:
    script = f"exec {sys.executable} -m streamer config show >&-"
    done = subprocess.run(["sh", "-c", script], stderr=subprocess.PIPE, text=True, check=False, env=os.environ)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("lines", [1, 10_000])
def test_a_file(lines: int) -> None:
    """Few lines are refused as the file is closed, many as they are written."""
    with (
        pytest.raises(StreamerError, match="can't write /dev/full: No space left on device"),
        whole_file("/dev/full") as file,
    ):
        file.write("a line\n" * lines)


def test_a_file_beside_the_output_is_named() -> None:
    with pytest.raises(StreamerError, match="can't write /var/cache/x: Read-only"), disk_errors("the output"):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), "/var/cache/x")


def test_an_error_of_something_else_stays_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(ConnectionResetError), whole_file(tmp_path / "x"):
        raise ConnectionResetError
    assert list(tmp_path.iterdir()) == []
