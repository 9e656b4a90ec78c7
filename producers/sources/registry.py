"""Picks the kind of source by its address. Kinds are entry points, so other packages can add some.

In the group `streamer.sources`, an entry point's name is the scheme of the addresses it serves (`rtsp` serves
rtsp://…, `synthetic` serves synthetic:…) or one of `file`, `folder` and `device` for paths. It names a factory
`(definition, address, settings) -> Source`, where `address` is `definition.source` with its credentials filled in, as
they are in `definition.options`.
"""

import re
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Protocol, cast

from producers.sources.source import Source
from streamer.addresses import mask, resolve
from streamer.errors import SourceError, SourceUnusableError, UsageError
from streamer.records.stream import StreamDefinition
from streamer.settings import ProduceSettings

GROUP = "streamer.sources"
_SCHEME = re.compile(r"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]*):")


class Factory(Protocol):
    """Makes a source; neither connects nor reads."""

    def __call__(self, definition: StreamDefinition, address: str, settings: ProduceSettings) -> Source: ...


def open_source(definition: StreamDefinition, settings: ProduceSettings) -> Source:
    """The source that `definition` describes, not connected yet: its own open() does that.

    Raises:
        SourceUnusableError: no kind of source serves such addresses, its plug-in fails, or a credential can't be found.
    """
    try:
        address = resolve(definition.source)
        options = {name: resolve(value) for name, value in definition.options.items()}
    except UsageError as error:
        raise SourceUnusableError(str(error)) from None
    filled = definition.model_copy(update={"options": options})
    factories = _factories()
    try:
        kind = _kind(address, set(factories))
        if kind not in factories:
            known = ", ".join(sorted(factories))
            raise SourceUnusableError(f"{mask(definition.source)}: no source is called {kind!r}; there are: {known}")
        return _make(factories[kind], filled, address, settings)
    except (OSError, ValueError) as error:
        # A name that no file system takes, or brackets that close no address.
        raise SourceUnusableError(f"{mask(definition.source)}: not an address: {type(error).__name__}") from None


def _make(point: EntryPoint, definition: StreamDefinition, address: str, settings: ProduceSettings) -> Source:
    factory = None
    try:
        factory = cast(Factory, point.load())
        return factory(definition, address, settings)
    except Exception as error:  # a plug-in raises what it likes; its stream ends by it, but not the process
        if isinstance(error, SourceError) or (factory and isinstance(error, OSError | ValueError)):
            raise
        why = " ".join(f"{type(error).__name__}: {error}".split())
        raise SourceUnusableError(f"{mask(definition.source)}: plug-in {point.value} fails: {mask(why)}") from error


@cache
def _factories() -> dict[str, EntryPoint]:
    """By name. Looked up once: it reads every installed package's metadata, and clips that loop open often."""
    return {point.name: point for point in entry_points(group=GROUP)}


def _kind(address: str, known: set[str]) -> str:
    scheme = _SCHEME.match(address)
    # A file's name may hold a colon too: a scheme that nobody serves counts as one only if no such file is there.
    if scheme and (scheme["scheme"].lower() in known or not Path(address).exists()):
        return scheme["scheme"].lower()
    if address.startswith("/dev/"):
        return "device"
    return "folder" if Path(address).is_dir() else "file"
