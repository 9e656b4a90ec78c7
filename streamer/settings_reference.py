"""docs/settings.md, generated from the settings themselves: `python -m streamer.settings_reference`."""

from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from streamer.settings import DEFAULT_FILE, FILE_VARIABLE, PREFIX, Settings

FILE = Path("docs/settings.md")

_WORDS: dict[Any, str] = {
    bool: "true, false",
    int: "integer",
    float: "number",
    str: "text",
    SecretStr: "text, secret",
    Path: "path",
    tuple: "list",
    dict: "table",
}
_HEAD = f"""# Settings

Generated from `streamer/settings.py` by `python -m streamer.settings_reference`; do not edit.

Settings come from one TOML file and from environment variables; a variable is stronger than the file, an option
on the command line stronger than both. The file is the one that `--config` or `${FILE_VARIABLE}` names, else
`{DEFAULT_FILE}` in the working folder. A variable is `{PREFIX}`, the section, two underscores, the key:

```
[kafka]                                  # in the file
bootstrap_servers = "kafka1:9092"

{PREFIX}KAFKA__BOOTSTRAP_SERVERS=kafka1:9092    # in the environment
```

A list in a variable is words with commas (`person,car`), a table is TOML (`{{person = 0.5}}`). All mistakes are
listed at once when a process starts. `streamer config show` prints what is in force, secrets masked; keep secrets
in the environment, and the file readable by its owner alone where they are in it.
"""


def reference() -> str:
    """The whole page."""
    sections = (_section(name, field) for name, field in Settings.model_fields.items())
    return "\n".join((_HEAD, *sections))


def _section(name: str, field: FieldInfo) -> str:
    kind = field.annotation
    assert isinstance(kind, type)
    assert issubclass(kind, BaseModel)
    lines = [f"## [{name}]", "", kind.__doc__ or "", "", "| key | values | default | |", "|---|---|---|---|"]
    lines += [_row(key, inner) for key, inner in kind.model_fields.items()]
    return "\n".join(lines) + "\n"


def _row(key: str, field: FieldInfo) -> str:
    cells = (f"`{key}`", _values(field), _default(field.default), field.description or "")
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _values(field: FieldInfo) -> str:
    kind = field.annotation
    if get_origin(kind) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(kind))
    if get_origin(kind) is UnionType:
        [kind] = set(get_args(kind)) - {NoneType}
    return " ".join([_WORDS[get_origin(kind) or kind], *_bounds(field)])


def _bounds(field: FieldInfo) -> list[str]:
    signs: dict[type[Any], tuple[str, str]] = {Ge: ("≥", "ge"), Gt: (">", "gt"), Le: ("≤", "le"), Lt: ("<", "lt")}
    found = [(signs[type(bound)], bound) for bound in field.metadata if type(bound) in signs]
    return [f"{sign} {getattr(bound, name)}" for (sign, name), bound in found]


def _default(value: object) -> str:
    match value:
        case bool():
            return f"`{str(value).lower()}`"
        case int() | float():
            return f"`{value}`"
        case str() if value:
            return f"`{value}`"
        case _:
            return ""


if __name__ == "__main__":
    FILE.write_text(reference(), encoding="utf-8")
