"""The images install versions that the project allows, from files that are there, and don't run as root."""

import re
import tomllib
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILES = sorted((ROOT / "deploy").glob("Dockerfile.*"))


# As their metadata say: without CUDA's headers, or NVIDIA's own index, they can't be installed.
FOREIGN = {
    "pycuda": ("mako", "platformdirs", "pytools"),
    "pytools": ("platformdirs", "siphash24", "typing-extensions"),
    "mako": ("markupsafe",),
    "tensorrt": ("tensorrt-cu13",),
    "tensorrt-cu13": ("tensorrt-cu13-bindings", "tensorrt-cu13-libs"),
    "tensorrt-cu13-libs": ("nvidia-cuda-runtime",),
}


def needed_by(package: str) -> Iterable[str]:
    """What is installed with it; nothing where it isn't installed here."""
    if package in FOREIGN:
        return FOREIGN[package]
    try:
        found = [Requirement(text) for text in metadata.requires(package) or ()]
    except metadata.PackageNotFoundError:
        return ()
    return [canonicalize_name(each.name) for each in found if not each.marker or each.marker.evaluate({"extra": ""})]


def pins() -> dict[str, str]:
    lines = (ROOT / "deploy" / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {canonicalize_name(name): version for name, version in pairs}


def requirements() -> list[Requirement]:
    """Of the package, and of the extras that the images install."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = set(re.findall(r"'\.\[(\w+)\]'", "".join(file.read_text(encoding="utf-8") for file in DOCKERFILES)))
    more = (project["optional-dependencies"].get(extra, ()) for extra in sorted(extras))
    return [Requirement(text) for text in [*project["dependencies"], *(text for group in more for text in group)]]


@pytest.mark.parametrize("requirement", requirements(), ids=lambda each: each.name)
def test_each_package_has_a_version_that_is_allowed(requirement: Requirement) -> None:
    version = pins()[canonicalize_name(requirement.name)]
    assert requirement.specifier.contains(version, prereleases=True)


def test_what_comes_with_them_has_a_version_too() -> None:
    found: set[str] = set()
    left: list[str] = [canonicalize_name(each.name) for each in requirements()]
    while left:
        package = left.pop()
        left += [other for other in needed_by(package) if other not in found]
        found.add(package)
    assert len(found) > len(requirements())
    assert found - set(pins()) == set()


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.suffix)
def test_an_image_is_made_of_what_is_there(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE):
        *sources, _ = line.split()
        assert all((ROOT / source).exists() for source in sources), line
    assert all(
        ":" in image and not image.endswith(":latest") for image in re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    )
    assert re.findall(r"^USER (\S+)", text, re.MULTILINE) == ["10001"]
    for variable in re.findall(r"STREAMER_([A-Z_]+?)__([A-Z_]+)=", text):
        section, key = (part.lower() for part in variable)
        from streamer.settings import Settings

        assert key in Settings.model_fields[section].annotation.model_fields  # type: ignore[union-attr]
