"""The next element of an iterator is made while the last one is used."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
_END = object()


def prefetched(elements: Iterable[T], ahead: bool = True) -> Iterator[T]:
    """The same elements, each made in a thread of its own, one before it is asked for; not `ahead`: when it is."""
    if not ahead:
        yield from elements
        return
    source = iter(elements)
    with ThreadPoolExecutor(1, "prefetch") as pool:
        coming = pool.submit(next, source, _END)
        while (element := coming.result()) is not _END:
            coming = pool.submit(next, source, _END)
            yield element  # type: ignore[misc]
