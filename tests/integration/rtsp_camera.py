"""A camera for tests: tests/rtsp_server.py under the system's Python, which can crash, freeze and refuse us."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SERVER = Path(__file__).parents[1] / "rtsp_server.py"
PYTHON = "/usr/bin/python3"


def available() -> bool:
    """Whether this machine's Python has GStreamer's RTSP server."""
    check = "import gi; gi.require_version('GstRtspServer', '1.0'); gi.require_version('GstApp', '1.0')"
    return sys.platform == "linux" and subprocess.run([PYTHON, "-c", check], capture_output=True).returncode == 0


@dataclass
class Camera:
    """A running one."""

    process: "subprocess.Popen[str]"
    port: int

    def url(self, path: str = "live", login: str = "") -> str:
        """Its address."""
        return f"rtsp://{login and login + '@'}127.0.0.1:{self.port}/{path}"

    def freeze(self) -> None:
        """Connections stay open, nothing comes any more."""
        os.kill(self.process.pid, signal.SIGSTOP)

    def kill(self) -> None:
        """The process is gone, its connections are closed by the kernel."""
        self.process.kill()
        self.process.wait()


@contextmanager
def running(clip: Path, port: int = 0, *arguments: str) -> Iterator[Camera]:
    """A camera that shows `clip` for ever."""
    command = [PYTHON, str(SERVER), str(clip), "--port", str(port), *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        yield Camera(process, int(process.stdout.readline()))
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
