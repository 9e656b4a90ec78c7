"""`streamer topics`: makes and checks the topics of a cluster."""

import argparse

from streamer.commands.common import add_settings_option, settings_for

HELP = "make the topics, or compare them with the settings"
EXAMPLES = (
    "streamer topics create",
    "STREAMER_TOPICS__PARTITIONS=16 STREAMER_TOPICS__REPLICATION_FACTOR=3 streamer topics create",
    "streamer topics check",
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    for name, action, text in (
        ("create", _create, "make what is missing, set what deviates; partition counts stay as they are"),
        ("check", _check, "name what is not as the settings want it; exit status 1 if anything is"),
    ):
        subparser = actions.add_parser(name, help=text)
        add_settings_option(subparser)
        subparser.set_defaults(action=action)


def run(arguments: argparse.Namespace) -> int:
    """0 when all topics are as the settings want them, 1 when not."""
    status: int = arguments.action(arguments)
    return status


def _create(arguments: argparse.Namespace) -> int:
    from streamer.topics_admin import create_topics

    for line in create_topics(settings_for(arguments)):
        print(line)
    return _check(arguments)


def _check(arguments: argparse.Namespace) -> int:
    from streamer.topics_admin import check_topics

    problems = check_topics(settings_for(arguments))
    for line in problems:
        print(line)
    if not problems:
        print("all topics are as the settings want them")
    return 1 if problems else 0
