"""What the README tells people to type exists. What it tells them to type in a session is typed in integration."""

import re
import shlex
from pathlib import Path

import pytest

from streamer.__main__ import GROUP, _parser

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)


def _lines() -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        for block in _BLOCK.findall(page.read_text(encoding="utf-8")):
            joined = block.replace("\\\n", " ")
            found += [(page.name, line.strip()) for line in joined.splitlines() if line.strip()]
    return found


@pytest.mark.parametrize(("page", "line"), [row for row in _lines() if re.match(r"(\w+=\S+ )*streamer ", row[1])])
def test_commands_of_the_pages_are_understood(page: str, line: str) -> None:
    from importlib.metadata import entry_points

    words = shlex.split(re.split(r" [|>&#]", line)[0], comments=True)
    while "=" in words[0]:
        words.pop(0)
    commands = {command.name: command for command in entry_points(group=GROUP)}
    arguments = _parser(commands, words[1:]).parse_args(words[1:])
    assert arguments.command == words[1]


@pytest.mark.parametrize(("page", "line"), [row for row in _lines() if row[1].startswith("make ")])
def test_make_targets_of_the_pages_exist(page: str, line: str) -> None:
    target = line.split()[1]
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / link).exists(), link
