"""Memory of the C library, set for arrays of many megabytes that come and go with every step."""

import ctypes

# Numbers of mallopt(3).
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3


def keep_freed_memory() -> None:
    """Makes glibc keep large blocks when they are freed, for the whole process; does nothing with other C libraries.

    Else each large tensor is new memory from the kernel, which clears it page by page: a third of the CPU time of a
    training step.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(_MMAP_THRESHOLD, 1 << 30)
        mallopt(_TRIM_THRESHOLD, (1 << 31) - 1)
