"""`streamer up`: starts the one-machine stack and leaves it running."""

import argparse

from streamer.commands.common import add_settings_option

HELP = "start Kafka and Redis on this machine, make the topics"
EXAMPLES = ("streamer up", "streamer up --fetch", "STREAMER_STACK__HOME=/data/stack streamer up")


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    add_settings_option(parser)
    parser.add_argument("--fetch", action="store_true", help="only fetch what it needs, so that it starts offline")


def run(arguments: argparse.Namespace) -> int:
    """0 when both run and the topics are there; what runs already is left as it is."""
    from rich.console import Console

    from streamer.errors import UsageError
    from streamer.settings import load
    from streamer.stack import Stack, with_stack_addresses
    from streamer.topics_admin import check_topics, create_topics

    settings = load(arguments.config)
    if arguments.fetch:
        with Console(stderr=True).status("looking at what is there") as status:
            Stack(settings.stack).fetch(status.update)
        print("Kafka, Java and Redis are there")
        return 0
    if settings.kafka.bootstrap_servers and settings.redis.url:
        raise UsageError("the settings name a Kafka and a Redis: nothing to start; `streamer topics create` comes next")
    with Console(stderr=True).status("looking for what runs already") as status:
        Stack(settings.stack).start(lifeline=False, progress=status.update)
        settings = with_stack_addresses(settings)
        status.update("making topics")
        lines = [*create_topics(settings), *check_topics(settings)]
    for line in lines:
        print(line)
    print(f"Kafka  {settings.kafka.bootstrap_servers}\nRedis  {settings.redis.url}\n\n{_NEXT}")
    return 0


_NEXT = """Every streamer command of this user finds them by itself. What comes next, each in its own terminal:
  streamer streams add gate rtsp://camera/stream
  streamer produce
  streamer detect --model model.onnx
  streamer results tail
and at the end: streamer down"""
