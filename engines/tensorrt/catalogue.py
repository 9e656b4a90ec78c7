"""What is in the cache, and what of it can go."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from engines.tensorrt.cache import SUFFIX, TIMINGS, Entry, PlanCache
from engines.tensorrt.graph import VERSION
from engines.tensorrt.library import is_newer, open_library
from engines.tensorrt.own_folder import LOCK, UNFINISHED
from streamer.errors import UsageError

_DAY = 24 * 3600.0


def as_text(folder: Path, entries: Sequence[Entry]) -> str:
    """One line per engine, the last used one first."""
    if not entries:
        return f"{folder}: no engines"
    head = f"{'engine':<14}{'MB':>7}  {'model':<24}{'precision':<11}{'batches':<12}{'TensorRT':<14}{'used':<12}for"
    total = sum(entry.size for entry in entries) / 1e6
    return "\n".join([head, *map(_line, entries), f"{len(entries)} engines, {total:.1f} MB in {folder}"])


def _line(entry: Entry) -> str:
    size, used = f"{entry.size / 1e6:>7.1f}", datetime.fromtimestamp(entry.used, UTC).strftime("%Y-%m-%d")
    if entry.header is None:
        return f"{entry.digest[:12]:<14}{size}  damaged; `streamer engine prune` removes it"
    key, model = entry.header.key, entry.header.model_name[:22]
    batches = ",".join(map(str, key.batches))
    return (
        f"{entry.digest[:12]:<14}{size}  {model:<24}{key.precision:<11}{batches:<12}"
        f"{key.version:<14}{used:<12}{key.gpu}"
    )


def as_json(entries: Sequence[Entry]) -> str:
    """One object."""
    return orjson.dumps({"engines": [_plain(entry) for entry in entries]}, option=orjson.OPT_INDENT_2).decode()


def _plain(entry: Entry) -> dict[str, Any]:
    header = asdict(entry.header) if entry.header else {}
    return {"digest": entry.digest, "bytes": entry.size, "used": entry.used, "damaged": entry.header is None, **header}


def prune(cache: PlanCache, unused_days: float | None, everything: bool) -> Iterator[str]:
    """Removes what can't be used, or needn't be kept, and says each; what it all came to at the end."""
    version = _installed()
    removed = size = 0
    for entry in cache.entries():
        why = "all are to go" if everything else _useless(entry, version, unused_days)
        if why:
            cache.remove(entry.digest)
            removed, size = removed + 1, size + entry.size
            yield f"removed {entry.digest[:12]}: {why}"
    left = sum(_remove_left_over(cache, name, version, everything) for name in cache.folder.names(""))
    if left:
        yield f"removed {left} files that builds have left"
    yield f"{removed} engines removed, {size / 1e6:.1f} MB"


def _remove_left_over(cache: PlanCache, name: str, installed: tuple[str, str, str] | None, everything: bool) -> bool:
    """Whether it was a file beside the engines that nobody needs, and has gone.

    Those are what another TensorRT has timed, and, of builds that must have ended long ago, locks without an engine
    and unfinished files.
    """
    folder = cache.folder
    old = time.time() - folder.size_and_time(name)[1] > _DAY
    if name.endswith(LOCK):
        return old and name.replace(LOCK, SUFFIX) not in folder.names(SUFFIX) and folder.remove_lock(name)
    timed = name.endswith(TIMINGS) and (everything or _timed_by_another(name, installed))
    if timed or (old and name.endswith(UNFINISHED)):
        folder.remove(name)
        return True
    return False


def _timed_by_another(name: str, installed: tuple[str, str, str] | None) -> bool:
    library, _, version = name.partition("-")
    if installed is None or library != installed[0]:
        return False
    return not version.startswith(tuple(f"{each}-" for each in installed[1:]))


def _useless(entry: Entry, installed: tuple[str, str, str] | None, unused_days: float | None) -> str:
    """Why it can go; nothing if it can't. installed: TensorRT's name, version and major version here."""
    if entry.header is None:
        return "damaged"
    key, builder = entry.header.key, entry.header.builder
    if key.preparation != VERSION:
        return "made by an older streamer"
    if installed and key.library == installed[0] and key.version not in installed[1:]:
        return f"for TensorRT {key.version}, here is {installed[1]}"
    if installed and key.library == installed[0] and is_newer(builder, installed[1]):
        return f"built by TensorRT {builder}, here is {installed[1]}"
    days = (time.time() - entry.used) / _DAY
    return f"not used for {days:.0f} days" if unused_days is not None and days > unused_days else ""


def _installed() -> tuple[str, str, str] | None:
    """None where engines are only kept: whether they can be used is not known there."""
    try:
        library = open_library()
    except UsageError:
        return None
    return library.name, library.version, library.major
