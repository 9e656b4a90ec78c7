"""`streamer status`: whether the one-machine stack runs, and where."""

import argparse
import time
from typing import TYPE_CHECKING

from streamer.commands.common import add_settings_option

if TYPE_CHECKING:
    from streamer.stack import Status

HELP = "say whether Kafka and Redis run on this machine, and where"
EXAMPLES = ("streamer status", "streamer status || streamer up")


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    add_settings_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """0 when both are ready, else 3."""
    from streamer.settings import load
    from streamer.stack import Stack

    settings = load(arguments.config)
    stack = Stack(settings.stack)
    status = stack.status()
    print(_headline(status))
    if status.addresses:
        pids = dict(status.pids)
        print(f"Kafka  {status.addresses.kafka}  {_pid(pids, 'kafka')}")
        print(f"Redis  {status.addresses.redis}  {_pid(pids, 'redis')}")
    print(f"data and logs in {stack.home.root}")
    for setting, value in (
        ("kafka.bootstrap_servers", settings.kafka.bootstrap_servers),
        ("redis.url", settings.redis.url),
    ):
        if value:
            print(f"not used: the settings have {setting}; `streamer doctor` looks at that one")
    return 0 if status.phase == "ready" else 3


def _headline(status: "Status") -> str:
    if status.phase == "stopped":
        return "stopped; start it with `streamer up`"
    if status.phase == "broken":
        return f"broken: {status.message}; `streamer up` starts it again"
    since = f", up for {_duration(time.time() - status.started)}" if status.started else ""
    return f"{status.phase}{since}"


def _pid(pids: dict[str, int], name: str) -> str:
    return f"process {pids[name]}" if name in pids else ""


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(max(round(seconds), 0), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
