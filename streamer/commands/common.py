"""What commands share: where their settings come from."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streamer.settings import Settings


def add_settings_option(parser: argparse.ArgumentParser) -> None:
    """Adds --config."""
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="settings (TOML); default: $STREAMER_CONFIG, else streamer.toml here if there is one",
    )


def settings_for(arguments: argparse.Namespace, overrides: Mapping[str, Mapping[str, Any]] | None = None) -> "Settings":
    """The settings of this call; where they name no Kafka or Redis, the running one-machine stack's addresses.

    Raises:
        UsageError: a setting is wrong.
    """
    from streamer.settings import load
    from streamer.stack import with_stack_addresses

    return with_stack_addresses(load(arguments.config, overrides))
