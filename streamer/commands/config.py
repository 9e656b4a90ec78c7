"""`streamer config`: the settings in force, in a form that can be saved."""

import argparse
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from streamer.commands.common import add_settings_option

if TYPE_CHECKING:
    from pydantic import BaseModel

    from streamer.settings import Settings

HELP = "show all settings, with what each is for"
EXAMPLES = ("streamer config show", "streamer config show > all.toml", "streamer config show --config site.toml")


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    show = actions.add_parser("show", help="print the settings in force as TOML; secrets are left out")
    add_settings_option(show)


def run(arguments: argparse.Namespace) -> int:
    """0 always: a mistake in the settings has ended it before."""
    from streamer.settings import load

    print(to_toml(load(arguments.config)), end="")
    return 0


def to_toml(settings: "Settings") -> str:
    """All settings as a file that says the same when it is read, but for secrets: those stay comments."""
    sections = []
    for name, section in settings:
        lines = [f"# {(type(section).__doc__ or '').strip()}", f"[{name}]", *_lines(section)]
        sections.append("\n".join(lines) + "\n")
    return "\n".join(sections)


def _lines(section: "BaseModel") -> Iterator[str]:
    for key, field in type(section).model_fields.items():
        comment = f"  # {field.description}" if field.description else ""
        yield f"{_entry(key, getattr(section, key))}{comment}"


def _entry(key: str, value: Any) -> str:
    from pydantic import SecretStr

    from streamer.addresses import MASK, mask

    if isinstance(value, SecretStr):
        return f'# {key} = "{MASK if value.get_secret_value() else ""}"'
    if value is None:
        return f'# {key} = ""'
    text = _toml(value)
    # A masked address, read again, would be a wrong one.
    return f"{key} = {text}" if mask(text) == text else f"# {key} = {mask(text)}"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_toml(key)} = {_toml(inner)}' for key, inner in value.items())}}}"
    # A JSON string is a TOML string, but for DEL, which JSON lets through as it is.
    return json.dumps(str(value)).replace("\x7f", "\\u007f")
