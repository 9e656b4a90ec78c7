"""`streamer doctor`: what is missing or misconfigured, and what to do about it."""

import argparse

from streamer.commands.common import add_settings_option, settings_for

HELP = "say what is missing or misconfigured, and what to do about it"
EXAMPLES = ("streamer doctor", "streamer doctor --role worker", "streamer doctor --config site.toml --role producer")


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    add_settings_option(parser)
    parser.add_argument(
        "--role",
        choices=("producer", "worker", "reader"),
        action="append",
        default=[],
        help="what this machine must be able to be: missing rights count as mistakes then; several times for several",
    )


def run(arguments: argparse.Namespace) -> int:
    """0 when nothing must be changed, else 1."""
    from streamer.doctor.choices import check_choices
    from streamer.doctor.kafka import check_kafka
    from streamer.doctor.machine import check_machine
    from streamer.doctor.redis import check_redis
    from streamer.settings import load

    given, settings = load(arguments.config), settings_for(arguments)
    worst = 0
    for findings in (
        check_machine(given),
        check_choices(given, arguments.role),
        check_kafka(settings, arguments.role),
        check_redis(settings, arguments.role),
    ):
        for finding in findings:
            print(f"{finding.level:<5} {finding.text}", flush=True)
            worst = max(worst, int(finding.level == "bad"))
    print("something must be changed: see the lines that begin with bad" if worst else "nothing must be changed")
    return worst
