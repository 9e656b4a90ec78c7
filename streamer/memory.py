"""Memory of a process that runs for months: what an outage took is not kept by each thread for itself."""

import ctypes
import gc
import threading

_ARENA_MAX = -8  # M_ARENA_MAX of glibc's malloc.h
_ARENAS = 2


def share_heaps() -> bool:
    """Has the threads share two heaps; to be called before others are started. False: not a glibc.

    By default each thread gets one of its own, and keeps what it once needed: over five broker outages of 10 s a
    worker grew by 23 MB, with two heaps by 14, nearly all of it in the first. Little is gained from more heaps: most
    threads wait for the interpreter's lock, and networks and JPEGs are computed in buffers that stay.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and mallopt(_ARENA_MAX, _ARENAS) == 1


def settle() -> None:
    """What the process has now is nothing for the garbage collector to look at; to be called once it has started.

    The oldest generation is looked through when a quarter of what it holds has come to it. Each poll of kafka-python
    that finds nothing leaves a cycle of some fifty objects, which an answer still under way holds for long enough to
    get there. Behind all that was imported they piled up for half an hour, a worker's memory went up and down by
    15 MB, and its looks took 50 ms; behind what a process makes itself they don't, and are short.
    """
    gc.collect()
    gc.freeze()
    gc.collect()  # what it finds is what a quarter is taken of


def give_back(stopping: threading.Event, every_s: float = 60) -> None:
    """Has a thread hand free pages in the middle of the heaps back to the system, until `stopping`; glibc only.

    What an outage needed is freed soon, but among it lies what lives on, and glibc itself returns only what is free
    at a heap's very end: after two outages in a row a worker kept 8 MB more than before. A round takes milliseconds
    and holds up nobody who doesn't allocate.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is None:
        return

    def rounds() -> None:
        while not stopping.wait(every_s):
            trim(0)

    threading.Thread(target=rounds, name="give-back", daemon=True).start()
