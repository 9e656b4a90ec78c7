"""How the packages are installed that only some of the commands need: the extras of pyproject.toml."""


def how_to_install(extra: str) -> str:
    """What to enter, and where. Not by streamer's name: in the package index that is another program's."""
    return f"`pip install -e '.[{extra}]'` in streamer's folder"
