"""Memory: heaps are shared."""

import subprocess
import sys

import pytest

# Threads that hold memory at the same time, then what the C library says of its heaps.
SCRIPT = """
import ctypes, sys, threading
from streamer.memory import share_heaps
if sys.argv[1] == "shared" and not share_heaps():
    print("no glibc")
    sys.exit()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.fopen.restype = ctypes.c_void_p, ctypes.c_void_p
barrier = threading.Barrier(8)
def hold():
    barrier.wait()
    libc.malloc(5000)
    barrier.wait()
threads = [threading.Thread(target=hold) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
out = ctypes.c_void_p(libc.fopen(b"/dev/stdout", b"w"))
libc.malloc_info(0, out)
libc.fclose(out)
"""


def heaps(kind: str) -> int:
    done = subprocess.run([sys.executable, "-c", SCRIPT, kind], capture_output=True, text=True, check=True)
    if "no glibc" in done.stdout:
        pytest.skip("the C library is not glibc")
    return done.stdout.count("<heap nr=")


def test_threads_share_two_heaps() -> None:
    assert heaps("shared") <= 2 < heaps("apart")
