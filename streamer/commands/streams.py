"""`streamer streams`: which streams exist, and how each is treated. Producers and workers follow at once."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from streamer.commands.common import add_settings_option, settings_for
from streamer.commands.stream_options import add_treatment_options, treatment

if TYPE_CHECKING:
    from streamer.catalog import Catalog
    from streamer.records.stream import StreamDefinition
    from streamer.settings import Settings

HELP = "define the streams that `streamer produce` serves"
EXAMPLES = (
    "streamer streams add gate 'rtsp://${CAM_USER}:${CAM_PASSWORD}@10.0.0.7/live' --fps 5 --transport network",
    "streamer streams add yard clip.mp4 --loop --mask '0,0;200,0;200,90;0,90:pixelate'",
    "streamer streams set gate --fps 10 --freshness bounded:500",
    "streamer streams list",
    "streamer streams pause gate yard",
    "streamer streams resume gate yard",
    "streamer streams remove yard",
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the actions."""
    actions = parser.add_subparsers(metavar="ACTION", title="actions", required=True)
    add = actions.add_parser("add", help="define a new stream")
    add.add_argument("name", metavar="NAME")
    add.add_argument("source", metavar="SOURCE", help="credentials as ${VARIABLE} or ${file:PATH} of the producer")
    change = actions.add_parser(
        "set", help="change a stream; what is not given stays, what is repeatable (--mask, --option) is replaced whole"
    )
    change.add_argument("name", metavar="NAME")
    change.add_argument("--source", metavar="SOURCE", help="another source: a new run begins")
    show = actions.add_parser("list", help="show all streams")
    show.add_argument("--json", action="store_true", help="one definition a line")
    for action in (add, change):
        add_treatment_options(action)
    for action, do in ((add, _add), (change, _set), (show, _list)):
        action.set_defaults(action=do)
        add_settings_option(action)
    for word, do, text in (
        ("pause", _pause, "close the source until `resume`"),
        ("resume", _resume, "go on; a file that has ended starts again"),
        ("remove", _remove, "forget the stream; its records stay as long as their topics keep them"),
    ):
        action = actions.add_parser(word, help=text)
        action.add_argument("name", nargs="+", metavar="NAME")
        action.set_defaults(action=do)
        add_settings_option(action)


def run(arguments: argparse.Namespace) -> int:
    """Does what the action says."""
    arguments.settings = settings_for(arguments)
    arguments.action(arguments)
    return 0


def _add(arguments: argparse.Namespace) -> None:
    from streamer.errors import UsageError
    from streamer.records.stream import StreamDefinition, parse_definition

    fields = {"id": arguments.name, "source": _absolute(arguments.source), **treatment(arguments)}
    definition = parse_definition(StreamDefinition, fields)
    with _catalog(arguments.settings) as catalog:
        there = catalog.definitions.get(arguments.name)
        # What was broken, or written by a `produce SOURCE`, may be replaced.
        if there and there.managed:
            raise UsageError(f"stream {arguments.name} exists already; `streamer streams set` changes it")
    _write(arguments.settings, definition)


def _set(arguments: argparse.Namespace) -> None:
    from streamer.errors import UsageError
    from streamer.records.stream import StreamDefinition, parse_definition

    changes = treatment(arguments)
    if arguments.source:
        changes["source"] = _absolute(arguments.source)
    if not changes:
        raise UsageError("what is to change? `streamer streams set --help` lists the options")
    with _catalog(arguments.settings) as catalog:
        old = _existing(catalog, arguments.name)
    definition = parse_definition(StreamDefinition, {**old.model_dump(), **changes})
    _write(arguments.settings, definition)
    if definition.paused:
        print(f"{definition.id} is paused; `streamer streams resume {definition.id}` starts it")


def _pause(arguments: argparse.Namespace) -> None:
    _set_paused(arguments, True)


def _resume(arguments: argparse.Namespace) -> None:
    _set_paused(arguments, False)


def _set_paused(arguments: argparse.Namespace, paused: bool) -> None:
    with _catalog(arguments.settings) as catalog:
        old = [_existing(catalog, name) for name in arguments.name]
    _write(arguments.settings, *(each.model_copy(update={"paused": paused}) for each in old))


def _remove(arguments: argparse.Namespace) -> None:
    from streamer.catalog import write_definitions
    from streamer.errors import UsageError
    from streamer.topics import topic_names

    with _catalog(arguments.settings) as catalog:
        if unknown := set(arguments.name) - catalog.definitions.keys() - catalog.broken.keys():
            raise UsageError(f"no stream is called {', '.join(sorted(unknown))}; `streamer streams list` shows all")
    kafka = arguments.settings.kafka
    write_definitions(kafka, topic_names(kafka).streams, dict.fromkeys(arguments.name))


def _list(arguments: argparse.Namespace) -> None:
    with _catalog(arguments.settings) as catalog:
        definitions = [catalog.definitions[name] for name in sorted(catalog.definitions)]
        broken = dict(catalog.broken)
    if arguments.json:
        for definition in definitions:
            print(definition.to_json().decode())
    elif definitions or broken:
        _print_table(definitions, broken)
    else:
        print("no streams; `streamer streams add NAME SOURCE` defines one")


def _print_table(definitions: "list[StreamDefinition]", broken: dict[str, str]) -> None:
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from streamer.addresses import mask

    table = Table("stream", "state", "source", "fps", "transport", "freshness", "pipelines", box=box.SIMPLE_HEAD)
    for each in definitions:
        state = "paused" if each.paused else "active" if each.managed else "by produce SOURCE"
        fps = f"{each.fps:g}" if each.fps else "all"
        source = escape(mask(each.source)) + (" (loop)" if each.loop else "")
        table.add_row(each.id, state, source, fps, each.transport, each.freshness, ", ".join(each.pipelines))
    for name, reason in sorted(broken.items()):
        table.add_row(escape(name), "[red]broken[/red]", escape(reason))
    # Into a pipe: a line per stream, whatever its length, for grep.
    Console(width=None if sys.stdout.isatty() else 1000).print(table)


@contextmanager
def _catalog(settings: "Settings") -> "Iterator[Catalog[StreamDefinition]]":
    from streamer.catalog import stream_catalog

    catalog = stream_catalog(settings.kafka)
    try:
        catalog.open()
        yield catalog
    finally:
        catalog.close()


def _existing(catalog: "Catalog[StreamDefinition]", name: str) -> "StreamDefinition":
    from streamer.errors import UsageError

    if name in catalog.broken:
        raise UsageError(
            f"stream {name} can't be read: {catalog.broken[name]}; `streams remove` it, then `add` it anew"
        )
    if name not in catalog.definitions:
        raise UsageError(f"no stream is called {name}; `streamer streams list` shows all")
    return catalog.definitions[name]


def _write(settings: "Settings", *definitions: "StreamDefinition") -> None:
    from streamer.catalog import write_definitions
    from streamer.topics import topic_names

    values: dict[str, bytes | None] = {each.id: each.to_json() for each in definitions}
    write_definitions(settings.kafka, topic_names(settings.kafka).streams, values)


def _absolute(source: str) -> str:
    """A producer has another working folder than we."""
    path = Path(source)
    return str(path.absolute()) if path.exists() else source
