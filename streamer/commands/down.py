"""`streamer down`: stops the one-machine stack."""

import argparse

from streamer.commands.common import add_settings_option

HELP = "stop Kafka and Redis on this machine"
EXAMPLES = ("streamer down", "streamer down --delete-data")


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    add_settings_option(parser)
    parser.add_argument("--delete-data", action="store_true", help="also delete all topics: streams, frames, results")


def run(arguments: argparse.Namespace) -> int:
    """0 when nothing runs any more."""
    from rich.console import Console

    from streamer.settings import load
    from streamer.stack import Stack

    stack = Stack(load(arguments.config).stack)
    with Console(stderr=True).status("stopping Kafka and Redis"):
        was_running = stack.stop()
        if arguments.delete_data:
            stack.delete_data()
    print("stopped" if was_running else "nothing was running")
    return 0
