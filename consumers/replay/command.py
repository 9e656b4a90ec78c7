"""`streamer replay`: frames that are still retained, once more."""

import argparse
import time
from typing import TYPE_CHECKING

from streamer.commands.common import add_settings_option, settings_for

if TYPE_CHECKING:
    from consumers.replay.span import Span
    from streamer.settings import Settings

HELP = "retained frames once more, for a pipeline aside"
EXAMPLES = (
    "streamer replay --stream gate --from 10m --to-pipeline again            the last ten minutes, for other workers",
    "streamer replay --stream gate --from 2026-11-23T07:00 --to 07:10 --to-pipeline again",
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument("--stream", required=True, metavar="NAME", help="whose frames")
    when = "10m, 2h (ago), 2026-01-31T12:00, 07:10 (today) or EPOCH-SEQUENCE"
    parser.add_argument("--from", dest="begin", metavar="TIME", help=f"captured then or later: {when}; default: all")
    parser.add_argument(
        "--to", dest="end", metavar="TIME", help="before then, or up to that frame; default: now"
    )
    parser.add_argument("--to-pipeline", required=True, metavar="NAME", help="copy them to the topics replay.NAME.*")
    parser.add_argument("--model", metavar="FILE", help="an ONNX file, or a shipped one's name")
    add_settings_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Does what the arguments say."""
    from consumers.replay.span import parse_span
    from streamer.records import check_name

    check_name(arguments.stream, "stream")
    span = parse_span(arguments.begin, arguments.end, time.time())
    return _copy(arguments, settings_for(arguments), span)


def _copy(arguments: argparse.Namespace, settings: "Settings", span: "Span") -> int:
    from consumers.replay.copy import copy_aside
    from streamer.aside import next_steps
    from streamer.records import rfc3339

    copied = copy_aside(settings, arguments.stream, span, arguments.to_pipeline)
    if copied.damaged:
        print(f"left out, as no producer of ours wrote them so: {copied.damaged}")
    moments = f"{rfc3339(copied.first.captured_ms)} ({copied.first.id}) .. {rfc3339(copied.last.captured_ms)}"
    print(f"frames written: {copied.frames}, {moments} ({copied.last.id}). They are done, and their results read, by:")
    for line in next_steps(copied.settings, arguments.model or "MODEL"):
        print(line)
    return 0
