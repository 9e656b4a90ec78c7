"""`streamer demo`: the whole service on one machine, live on the screen."""

import argparse
import time
from collections import deque
from typing import TYPE_CHECKING, Self

from streamer.commands.service_options import add_service_options, service_settings, stream_definitions

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from streamer.commands.tally import Tallies
    from streamer.records.stream import StreamDefinition
    from streamer.service import Service
    from streamer.settings import Settings

HELP = "run everything on this machine and watch it, until Ctrl-C"
EXAMPLES = (
    "streamer demo clip.mp4 --model yolov8n.onnx",
    "streamer demo clip.mp4,rtsp://camera/live --model yolov8n.onnx",
    "streamer demo synthetic: --model yolov8n.onnx",
)
_DRAW_S = 0.25
_PRINT_S = 5.0
_NOTES = 6


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    add_service_options(parser)
    parser.add_argument("--loop", action="store_true", help="files: start again at the end")


def run(arguments: argparse.Namespace) -> int:
    """0 when all sources have ended or after Ctrl-C, 1 when a source failed."""
    from rich.console import Console

    from streamer.commands.tables import summary_table
    from streamer.telemetry.logs import configure_logging

    settings = service_settings(arguments)
    definitions = stream_definitions(arguments, settings, freshness="latest", loop=arguments.loop)
    configure_logging(settings.telemetry.model_copy(update={"log_level": "ERROR"}))
    console = Console()
    tallies = _watch(settings, definitions, arguments.workers, console)
    console.print(summary_table(tallies))
    return 1 if tallies.failed else 0


def _watch(settings: "Settings", definitions: "list[StreamDefinition]", workers: int, console: "Console") -> "Tallies":
    from streamer.commands.tally import Tallies
    from streamer.lifecycle import stop_on_signals
    from streamer.service import Service, apart, ensure_stack

    tallies = Tallies(definition.id for definition in definitions)
    with console.status("starting") as status:
        settings, stack = ensure_stack(settings, status.update)
        settings = apart(settings, "demo")
        stopping = stop_on_signals()
        status.update("starting producer and worker")
        with Service(settings, definitions, workers) as service:
            status.stop()
            with _Screen(console, _where_to_look(settings, definitions[0].id), service) as screen:
                while tallies.ended < len(definitions) and not stopping.is_set():
                    for record in service.poll(timeout_s=0.1):
                        tallies.add(record)
                    screen.show(tallies)
            status.update("stopping")
            status.start()
        del stack  # held until here: it ends with its last user
    return tallies


class _Screen:
    """The table drawn again and again on a terminal; elsewhere a line per stream now and then."""

    def __init__(self, console: "Console", header: str, service: "Service") -> None:
        from rich.live import Live

        self._console, self._header = console, header
        self._notes: deque[str] = deque(maxlen=_NOTES)
        for child in service.children:
            child.on_line = self._notes.append
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._next = 0.0

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        else:
            print(self._header, flush=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def show(self, tallies: "Tallies") -> None:
        """Draws, if it is time to."""
        from streamer.commands.tables import live_lines

        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + (_DRAW_S if self._live else _PRINT_S)
        if self._live:
            self._live.update(self._picture(tallies), refresh=True)
            return
        while self._notes:
            print(self._notes.popleft())
        print("\n".join(live_lines(tallies)), flush=True)

    def _picture(self, tallies: "Tallies") -> "RenderableType":
        from rich.console import Group
        from rich.text import Text

        from streamer.commands.tables import live_table

        notes = Text("\n".join(self._notes), style="yellow")
        return Group(Text(self._header, style="dim"), Text(""), live_table(tallies), Text(""), notes)


def _where_to_look(settings: "Settings", stream: str) -> str:
    from streamer.addresses import mask
    from streamer.mirror import Keys
    from streamer.topics import topic_names

    keys, pipeline, kafka = Keys(settings.redis.prefix), settings.detect.pipeline, settings.kafka
    redis = mask(settings.redis.url)
    return (
        f"Kafka {kafka.bootstrap_servers}, topics {topic_names(kafka).frames} and {topic_names(kafka).detections}; "
        f"Redis {redis}. In another terminal:\n"
        f"  redis-cli -u {redis} subscribe '{keys.live(pipeline, stream)}'\n"
        f"  redis-cli -u {redis} get '{keys.latest(pipeline, stream)}'\n"
        f"  export STREAMER_KAFKA__TOPIC_PREFIX={kafka.topic_prefix} STREAMER_REDIS__PREFIX={settings.redis.prefix}\n"
        f"  streamer results tail\n"
        "Ctrl-C ends it all."
    )
