"""The threads of a block meet where they must: a race detector watches eight of them."""

import shutil
import subprocess
from pathlib import Path

from tests.conftest import need
from tests.kernels.on_cpu import HERE, compile_kernels, compiler

STRANGE = "unexpected memory mapping"


def run(*command: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


def test_no_thread_reads_what_another_is_writing(tmp_path: Path) -> None:
    need(compiler() is not None, "a C++ compiler (Debian: g++)")
    program = compile_kernels(tmp_path / "races", "-fsanitize=thread", "-g", source=HERE / "races.cpp")

    done = run(program)
    if STRANGE in done.stderr and shutil.which("setarch"):
        done = run("setarch", "-R", program)  # without chance in where things lie

    need(STRANGE not in done.stderr, "a layout of memory that the race detector expects (sysctl vm.mmap_rnd_bits=28)")
    assert "WARNING: ThreadSanitizer" not in done.stderr, done.stderr[:3000]
    assert done.returncode == 0, done.stderr
    passed, competed, found = map(int, done.stdout.split())
    assert passed > competed == 2048
    assert found == 300
