"""The data.yaml of YOLO data sets: the few forms of YAML that such files use, without a YAML parser to install."""

from pathlib import Path

from streamer.errors import UsageError

Value = str | list[str]


def read_yaml(path: Path) -> dict[str, Value]:
    """Top-level keys with a word, a list ([a, b] or lines of "- a") or numbered names ({0: a, 1: b} or lines of
    "0: a"), which become a list.

    Raises:
        UsageError: it can't be read, or its numbered names leave one out.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: can't be read: {error}") from None
    found: dict[str, Value] = {}
    items: dict[str, list[str]] = {}
    key = ""
    for line in map(_without_comment, lines):
        if not line.strip():
            continue
        if line[0] in " \t-":
            items.setdefault(key, []).append(line.strip())
            continue
        key, _, value = (part.strip() for part in line.partition(":"))
        found[key] = _flow(path, key, value)
    return found | {key: _items(path, key, lines) for key, lines in items.items()}


def class_names(path: Path, values: dict[str, Value]) -> tuple[str, ...]:
    """The names that a data.yaml gives.

    Raises:
        UsageError: it gives none.
    """
    names = values.get("names")
    if not names or isinstance(names, str):
        raise UsageError(f"{path}: no names in it; write them as names: [person, car]")
    return tuple(names)


def _flow(path: Path, key: str, value: str) -> Value:
    """A value on its key's line."""
    if value[:1] + value[-1:] not in ("[]", "{}"):
        return _word(value)
    parts = [part.strip() for part in value[1:-1].split(",") if part.strip()]
    return _numbered(path, key, parts) if value[0] == "{" else [_word(part) for part in parts]


def _items(path: Path, key: str, lines: list[str]) -> list[str]:
    """A value on the lines below its key; a list that goes on over several lines in brackets isn't known."""
    if all(line.startswith("-") for line in lines):
        return [_word(line[1:]) for line in lines]
    return _numbered(path, key, lines)


def _numbered(path: Path, key: str, parts: list[str]) -> list[str]:
    pairs = [part.partition(":") for part in parts]
    numbered = {number.strip(): _word(name) for number, colon, name in pairs if colon}
    try:
        return [numbered[str(number)] for number in range(len(pairs))]
    except KeyError:
        raise UsageError(
            f"{path}: {key}: wanted [a, b], lines of '- a', or each number from 0 on with a name"
        ) from None


def _word(text: str) -> str:
    text = text.strip()
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text


def _without_comment(line: str) -> str:
    """The line up to a # that is at its start or behind a space."""
    start = 0 if line.startswith("#") else line.find(" #")
    return line if start < 0 else line[:start]
