"""Memory: heaps are shared, garbage does not pile up behind imports, and what was freed is given back."""

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


# Cycles that are let go once they are old; how many are there at most.
GARBAGE = """
import gc, sys
from collections import deque
from streamer.memory import settle
class Cycle:
    there = most = 0
    def __init__(self):
        self.itself, self.parts = self, [[] for _ in range(50)]
        Cycle.there += 1
        Cycle.most = max(Cycle.most, Cycle.there)
    def __del__(self):
        Cycle.there -= 1
imported = [[] for _ in range(600_000)]
gc.collect()
if sys.argv[1] == "settled":
    settle()
held = deque(maxlen=500)
for _ in range(6000):
    held.append(Cycle())
print(Cycle.most)
"""


def piled_up(kind: str) -> int:
    done = subprocess.run([sys.executable, "-c", GARBAGE, kind], capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_what_is_garbage_does_not_pile_up_behind_what_is_kept() -> None:
    assert piled_up("settled") * 1.3 < piled_up("as it is")


# Most of what was there is freed, and some of every page lives on at the end: is the rest of it still the process's?
HOLES = """
import ctypes, sys, threading, time
from streamer.memory import give_back, share_heaps
share_heaps()
libc = ctypes.CDLL(None)
if not hasattr(libc, "malloc_trim"):
    print("no glibc")
    sys.exit()
def resident():
    return int(open("/proc/self/statm").read().split()[1])
pieces = [bytes(5000) for _ in range(20_000)]
full = resident()
pieces = pieces[::20]
stopping = threading.Event()
if sys.argv[1] == "given back":
    give_back(stopping, 0.01)
deadline = time.monotonic() + float(sys.argv[2])
while resident() > 0.6 * full and time.monotonic() < deadline:
    time.sleep(0.01)
print(resident() / full)
"""


def kept(kind: str, wait_s: float) -> float:
    command = [sys.executable, "-c", HOLES, kind, str(wait_s)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    if "no glibc" in done.stdout:
        pytest.skip("the C library is not glibc")
    return float(done.stdout)


def test_what_was_freed_among_what_lives_on_is_given_back() -> None:
    assert kept("given back", 20) <= 0.6 < kept("as it is", 0)
