"""`streamer produce`: a producer."""

import argparse
from typing import TYPE_CHECKING

from streamer.commands.common import add_settings_option, settings_for
from streamer.commands.stream_options import add_treatment_options, treatment

if TYPE_CHECKING:
    from streamer.records.stream import StreamDefinition
    from streamer.settings import Settings

HELP = "read sources and publish their frames"
EXAMPLES = (
    "streamer produce                              a share of the streams that `streamer streams` defines;",
    "                                              start it N times, they divide them and stand in for each other",
    "streamer produce clip.mp4 --pace fast         one file, every frame, then it ends",
    "streamer produce rtsp://cam:secret@10.0.0.7/live --stream gate --fps 5 --transport network",
    "streamer produce a.mp4 b.mp4 --loop           two streams, a and b, for ever",
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument(
        "sources",
        nargs="*",
        metavar="SOURCE",
        help="file, folder, rtsp:// or http:// address, /dev/video0 or synthetic:; none: the defined streams",
    )
    given = parser.add_argument_group("with SOURCE")
    given.add_argument("--stream", metavar="NAME", help="the stream's name (default: from the file's or host's)")
    add_treatment_options(given)
    given.add_argument(
        "--restart", action="store_true", help="begin at the beginning, where a run was broken off before, too"
    )
    parser.add_argument("--port", type=int, metavar="N", help="for /metrics, /healthz and /readyz; 0: a free one")
    add_settings_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """0 when told to stop or all sources came to their end, 1 when one failed."""
    from producers.supervisor import Supervisor
    from streamer.lifecycle import stop_on_signals
    from streamer.memory import give_back, settle, share_heaps
    from streamer.telemetry.logs import configure_logging

    settings = settings_for(arguments, {"telemetry": {"port": arguments.port}})
    definitions = _definitions(arguments)
    configure_logging(settings.telemetry)
    share_heaps()
    stopping = stop_on_signals()
    give_back(stopping)
    supervisor = Supervisor(settings, started=settle)
    if not definitions:
        supervisor.run_group(stopping)
        return 0
    _write(settings, definitions)
    return 0 if supervisor.run_named(definitions, stopping, arguments.restart) else 1


def _definitions(arguments: argparse.Namespace) -> "list[StreamDefinition]":
    from streamer.commands.sources import expand_sources, name_streams, without_secrets
    from streamer.errors import UsageError
    from streamer.records.stream import StreamDefinition, parse_definition

    if not arguments.sources:
        return []
    named = name_streams(expand_sources(arguments.sources))
    if arguments.stream and len(named) > 1:
        raise UsageError(f"--stream is for one source, these are {len(named)}")
    if arguments.stream:
        named = dict(zip([arguments.stream], named.values(), strict=True))
    fields = {"managed": False, **treatment(arguments)}
    return [
        parse_definition(StreamDefinition, {"id": name, "source": without_secrets(source, name), **fields})
        for name, source in named.items()
    ]


def _write(settings: "Settings", definitions: "list[StreamDefinition]") -> None:
    """Makes the streams known to the workers, which read there how each is treated.

    Raises:
        UsageError: one of these names belongs to a stream of the group's.
    """
    from streamer.catalog import stream_catalog, write_definitions
    from streamer.errors import UsageError
    from streamer.topics import topic_names

    catalog = stream_catalog(settings.kafka)
    try:
        catalog.open()
        for definition in definitions:
            there = catalog.definitions.get(definition.id)
            if there and there.managed:
                raise UsageError(
                    f"stream {definition.id} is defined already and served by `streamer produce`: "
                    "choose another --stream"
                )
    finally:
        catalog.close()
    values: dict[str, bytes | None] = {definition.id: definition.to_json() for definition in definitions}
    write_definitions(settings.kafka, topic_names(settings.kafka).streams, values)
