"""How to install what a command needs: what is said exists, and is ours."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = "".join(
    file.read_text(encoding="utf-8")
    for folder in ("streamer", "engines", "producers", "consumers")
    for file in (ROOT / folder).rglob("*.py")
)


def test_every_extra_that_is_told_of_exists() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    told = set(re.findall(r"how_to_install\(['\"](\w+)['\"]\)", SOURCE))
    assert told >= {"train", "gpu"}
    assert told <= set(extras)


def test_nobody_is_told_to_install_us_from_the_package_index() -> None:
    """What is called streamer there is another program."""
    pages = "".join(page.read_text(encoding="utf-8") for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
    assert not re.findall(r"pip install '?streamer.*", SOURCE + pages)
