"""`streamer run`: the whole service over sources that end, then it ends too."""

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from streamer.commands.service_options import add_service_options, service_settings, stream_definitions

if TYPE_CHECKING:
    from rich.console import Console

    from streamer.commands.tally import Tallies
    from streamer.records.stream import StreamDefinition
    from streamer.settings import Settings

HELP = "detect in every frame of files, write the results, and end"
EXAMPLES = (
    "streamer run clip.mp4 --model yolov8n.onnx --output results.jsonl",
    "streamer run a.mp4 b.mkv clips/ --model yolov8n.onnx --output results.jsonl --workers 2",
    "streamer run clip.mp4 --model yolov8n.onnx --classes person,car --fps 5 | jq .objects",
    "streamer run clip.mp4 --track --mask '0,0;400,0;400,90;0,90' --output tracks.jsonl",
)
# http is not among them: whether it is a file shows when it is open.
_LIVE = ("rtsp", "rtsps", "rtmp", "rtmps", "srt", "tcp", "udp")


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    add_service_options(parser)
    parser.add_argument("--output", metavar="FILE", default="-", help="for the records, JSON lines; default: stdout")


def run(arguments: argparse.Namespace) -> int:
    """0 when every source came to its end, 1 when one failed, 130 after Ctrl-C."""
    from rich.console import Console

    from streamer.commands.sources import expand_sources
    from streamer.commands.tables import summary_table
    from streamer.errors import UsageError
    from streamer.telemetry.logs import configure_logging

    settings = service_settings(arguments)
    for source in expand_sources(arguments.sources):
        if _is_endless(source):
            raise UsageError(f"{source} never ends: {_instead(source)}")
    definitions = stream_definitions(arguments, settings, freshness="every", pace="fast")
    configure_logging(settings.telemetry.model_copy(update={"log_level": "ERROR"}))
    console = Console(stderr=True)
    with _output(arguments.output) as file:
        tallies = _detect(settings, definitions, arguments.workers, file, console)
    console.print(summary_table(tallies))
    if tallies.ended < len(definitions):
        console.print("stopped before the end", style="bold")
        return 130
    return 1 if tallies.failed else 0


def _is_endless(source: str) -> bool:
    from urllib.parse import parse_qsl

    scheme, _, rest = source.partition(":")
    if scheme.lower() == "synthetic":
        return "frames" not in dict(parse_qsl(rest.partition("?")[2], keep_blank_values=True))
    return scheme.lower() in _LIVE or source.startswith("/dev/")


def _instead(source: str) -> str:
    if not source.lower().startswith("synthetic:"):
        return "watch it with `streamer demo`"
    return f"say how many pictures, {source}{'&' if '?' in source else '?'}frames=200, or watch it with `streamer demo`"


def _detect(
    settings: "Settings", definitions: "list[StreamDefinition]", workers: int, file: TextIO, console: "Console"
) -> "Tallies":
    from streamer.commands.tally import Tallies
    from streamer.lifecycle import stop_on_signals
    from streamer.service import Service, apart, ensure_stack

    tallies = Tallies(definition.id for definition in definitions)
    with console.status("starting") as status:
        settings, stack = ensure_stack(settings, status.update)
        stopping = stop_on_signals()
        status.update("starting producer and worker")
        with Service(apart(settings, "run"), definitions, workers) as service:
            while tallies.ended < len(definitions) and not stopping.is_set():
                for record in service.poll(timeout_s=0.2):
                    file.write(record.to_json().decode() + "\n")
                    tallies.add(record)
                if tallies.results:
                    status.update(_progress(tallies))
        del stack  # held until here: it ends with its last user
    return tallies


def _progress(tallies: "Tallies") -> str:
    now = time.monotonic()
    rate = sum(tally.present_rate(now) for tally in tallies.of.values() if not tally.ended)
    return f"{tallies.results} frames done, {rate:.1f} a second; {tallies.ended} of {len(tallies.of)} sources ended"


@contextmanager
def _output(path: str) -> Iterator[TextIO]:
    """Written line by line: what was found before a failure stays."""
    from streamer.commands.whole_file import disk_errors
    from streamer.errors import UsageError

    if path == "-":
        yield sys.stdout
        return
    with disk_errors(path), ExitStack() as stack:
        try:
            file = stack.enter_context(Path(path).open("w", encoding="utf-8", buffering=1))
        except OSError as error:
            raise UsageError(f"can't write {path}: {error.strerror}") from None
        yield file
