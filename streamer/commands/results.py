"""`streamer results`: what was found, on the screen or in a file."""

import argparse
import sys
from typing import TYPE_CHECKING, TextIO

from streamer.commands.common import add_settings_option, settings_for
from streamer.commands.parser import whole

if TYPE_CHECKING:
    from streamer.records import Detection, Event

HELP = "show or export results"
EXAMPLES = (
    "streamer results tail                                   every record as it comes",
    "streamer results tail --stream gate --since 10m --json",
    "streamer results tail --events                          what happens to tracked objects, in zones and at lines",
    "streamer results latest                                 the newest result of each stream",
    "streamer results export --since 2h --output results.jsonl",
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    actions = parser.add_subparsers(metavar="ACTION", title="actions", required=True)
    tail = actions.add_parser("tail", help="records from Kafka as they come, until Ctrl-C")
    tail.add_argument("--since", metavar="TIME", help="begin there; default: now; 10m, 2h (ago) or 2026-01-31T12:00")
    tail.add_argument("--count", type=whole(1), metavar="N", help="end after so many records")
    tail.set_defaults(action=_tail)
    latest = actions.add_parser("latest", help="the newest result of each stream, from Redis")
    latest.set_defaults(action=_latest)
    export = actions.add_parser("export", help="records that Kafka holds now, as JSON lines")
    export.add_argument("--since", metavar="TIME", help="written then or later; default: all that is kept")
    export.add_argument("--until", metavar="TIME", help="written before then; default: now")
    export.add_argument("--output", metavar="FILE", default="-", help="complete or not there at all; default: stdout")
    export.set_defaults(action=_export)
    for action in (tail, export):
        action.add_argument("--events", action="store_true", help="those of topic events: tracks, zones, lines")
    for action in (tail, latest):
        action.add_argument("--json", action="store_true", help="one JSON object a line")
    for action in (tail, latest, export):
        action.add_argument("--pipeline", metavar="NAME", help="default: detect.pipeline of the settings (main)")
        action.add_argument("--stream", metavar="NAME", action="append", help="only this one; may be repeated")
        add_settings_option(action)


def run(arguments: argparse.Namespace) -> int:
    """Does what the action says."""
    from streamer.records import check_name

    for stream in arguments.stream or ():
        check_name(stream, "stream")
    overrides = {"detect": {"pipeline": arguments.pipeline}}
    arguments.settings = settings_for(arguments, overrides)
    status: int = arguments.action(arguments)
    return status


def _tail(arguments: argparse.Namespace) -> int:
    from streamer.results import Events, Results
    from streamer.telemetry.logs import configure_logging

    settings = arguments.settings
    configure_logging(settings.telemetry)
    since = "now" if arguments.since is None else arguments.since
    left = arguments.count
    reader = Events if arguments.events else Results
    with reader(settings, settings.detect.pipeline, arguments.stream, since) as results:
        for record in results:
            _print(record, arguments.json)
            left = left and left - 1
            if left == 0:
                break
    return 0


def _latest(arguments: argparse.Namespace) -> int:
    from streamer.errors import StreamerError
    from streamer.results import latest_results

    settings = arguments.settings
    found = latest_results(settings, settings.detect.pipeline)
    wanted = [found[name] for name in sorted(found) if not arguments.stream or name in arguments.stream]
    for result in wanted:
        _print(result, arguments.json)
    if not wanted:
        raise StreamerError(
            f"no result of pipeline {settings.detect.pipeline} within the last {settings.redis.latest_ttl_s} s"
        )
    return 0


def _export(arguments: argparse.Namespace) -> int:
    from streamer.commands.whole_file import whole_file

    if arguments.output == "-":
        return _write_all(arguments, sys.stdout)
    with whole_file(arguments.output) as file:
        return _write_all(arguments, file)


def _write_all(arguments: argparse.Namespace, file: TextIO) -> int:
    from streamer.commands.progress import counting
    from streamer.results import Events, Results

    settings = arguments.settings
    kind = Events if arguments.events else Results
    reader = kind(
        settings, settings.detect.pipeline, arguments.stream, arguments.since, follow=False, until=arguments.until
    )
    with reader as results, counting("records exported") as counted:
        for record in results:
            file.write(record.to_json().decode() + "\n")
            counted()
    return 0


def _print(record: "Detection | Event", as_json: bool) -> None:
    from streamer.commands.lines import human_line

    # A line each, at once, also into a pipe.
    print(record.to_json().decode() if as_json else human_line(record), flush=True)
